import pytest

from cli.status.rates import rates
from cli.status.scraping import Scrape, Series
from cli.status.snapshots import Snapshot
from tests.support.status_snapshots import SILENT, program, snapshot, told

IMAGES = "darkroom_images_total"


def images(snapshots: list[Snapshot]) -> dict[str, float] | None:
    return rates(snapshots, role="predict", name=IMAGES, by=_model)


def _model(series: Series) -> str:
    return series.by["model"]


def counted(number: float, *, model: str = "m", outcome: str = "succeeded") -> Scrape:
    return told({(IMAGES, f"model={model},outcome={outcome}"): number})


def one(*answers: tuple[float, Scrape], began: tuple[int, ...] = ()) -> list[Snapshot]:
    """One predict worker at several moments."""
    return [
        snapshot(at, program("predict1", began=born), scrapes={"predict1": scrape})
        for (at, scrape), born in zip(answers, began or (1,) * len(answers), strict=True)
    ]


def test_a_rate_is_the_growth_over_all_snapshots() -> None:
    assert images(one((10.0, counted(100)), (11.0, counted(130)), (12.0, counted(150)))) == {"m": 25.0}


def test_processes_and_outcomes_add_up_by_model() -> None:
    both = {
        (IMAGES, "model=a,outcome=succeeded"): 0.0,
        (IMAGES, "model=a,outcome=model_error"): 0.0,
        (IMAGES, "model=b,outcome=succeeded"): 5.0,
    }
    grown = {key: value + 10 for key, value in both.items()}
    programs = (program("predict1"), program("predict2", pid=8))
    snapshots = [
        snapshot(0.0, *programs, scrapes={"predict1": told(both), "predict2": told(both)}),
        snapshot(2.0, *programs, scrapes={"predict1": told(grown), "predict2": told(grown)}),
    ]
    assert images(snapshots) == {"a": 20.0, "b": 10.0}


@pytest.mark.parametrize("count", [3, 250], ids=["fewer than before", "more than before"])
def test_a_restarted_worker_counts_from_zero(count: int) -> None:
    snapshots = one((0.0, counted(100)), (1.0, counted(200)), (2.0, counted(count)), began=(1, 1, 2))
    assert images(snapshots) == {"m": (100 + count) / 2}


def test_a_counter_that_shrank_counts_from_zero() -> None:
    assert images(one((0.0, counted(100)), (1.0, counted(10)))) == {"m": 10.0}


def test_a_counter_that_has_just_appeared_grew_from_zero() -> None:
    assert images(one((0.0, told()), (1.0, counted(10)))) == {"m": 10.0}


def test_a_worker_that_missed_a_snapshot_does_not_count_as_restarted() -> None:
    assert images(one((0.0, counted(100)), (1.0, SILENT), (2.0, counted(120)))) == {"m": 10.0}


def test_a_first_answer_adds_nothing_to_the_rate() -> None:
    programs = (program("predict1"), program("predict2", pid=8))
    snapshots = [
        snapshot(0.0, *programs, scrapes={"predict1": counted(0), "predict2": SILENT}),
        snapshot(1.0, *programs, scrapes={"predict1": counted(10), "predict2": counted(1_000_000)}),
    ]
    assert images(snapshots) == {"m": 10.0}


def test_rates_are_unknown_after_one_snapshot_or_without_answers() -> None:
    assert images(one((0.0, counted(100)))) is None
    assert images(one((0.0, SILENT), (1.0, SILENT))) is None
    assert images([snapshot(0.0, program("api")), snapshot(1.0, program("api"))]) is None


def test_no_counters_give_no_rates_but_are_known() -> None:
    assert images(one((0.0, told()), (1.0, told()))) == {}
