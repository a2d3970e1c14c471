from dataclasses import replace

import pytest

from benchmarks.cases.bulk import Bulk
from benchmarks.cases.bulk_beside import Beside
from benchmarks.cases.bulk_memory import KINDS, Memory
from benchmarks.cases.found import Found
from benchmarks.figures import sections as figures
from benchmarks.figures.report import Figure
from benchmarks.measuring.predictions import Run, Throughput, median_run

BESIDE = Beside(
    large=130_000,
    least_waiting=40_000,
    p50_alone=2.5,
    p50_beside=6.0,
    p99_alone=5.0,
    p99_beside=14.0,
    p99_uploading=25.0,
    small_alone=120.0,
    small_beside=240.0,
    small_runs=[120.0, 240.0],
)


def throughput(speed: float, *, cost: float) -> Throughput:
    return Throughput(
        images_per_second=speed,
        milliseconds={"api": cost / 2, "predict": cost / 2},
        generator_milliseconds=0.01,
        runs=[speed],
    )


def bulk(*, times: float, cost: float) -> Bulk:
    return Bulk(
        images=20_000,
        singles=throughput(1000.0, cost=0.5),
        archive=throughput(1000.0 * times, cost=cost),
        accepted_per_second=9000.0,
    )


def goals(found: Found) -> list[Figure]:
    return [figure for part in figures.sections(found) for figure in part.figures if figure.goal]


@pytest.mark.parametrize(
    ("times", "cost", "reached"),
    [(1.3, 0.42, [True, True]), (1.29, 0.42, [False, True]), (2.0, 0.43, [True, False])],
)
def test_the_goals_of_an_archive_are_speed_and_cost(times: float, cost: float, reached: list[bool]) -> None:
    found = goals(Found(bulk=bulk(times=times, cost=cost)))
    assert [figure.value for figure in found] == pytest.approx([times, cost])
    assert [figure.reached for figure in found] == reached


def test_the_clients_cpu_is_not_part_of_an_images_cost() -> None:
    archive = replace(bulk(times=2.0, cost=0.4).archive, generator_milliseconds=5.0)
    found = goals(Found(bulk=replace(bulk(times=2.0, cost=0.4), archive=archive)))
    assert found[-1].value == pytest.approx(0.4)


def test_each_body_has_its_memory_above_idle() -> None:
    memories = [Memory(kind=kind, images=10, idle=90.0, peak=180.0 + 20 * n, seconds=1) for n, kind in enumerate(KINDS)]
    found = goals(Found(memories=memories))
    assert [figure.value for figure in found] == [90.0, 110.0, 130.0]
    assert [figure.reached for figure in found] == [True, False, False]


def test_the_effect_on_others_is_given_as_times_only() -> None:
    assert [figure.value for figure in goals(Found(beside=BESIDE))] == pytest.approx([2.8, 2.0])


def test_cases_that_did_not_run_have_no_section() -> None:
    assert figures.sections(Found()) == []
    assert [part.title for part in figures.sections(Found(beside=BESIDE))] == ["digits in bulk: beside others"]


def test_repeated_runs_give_their_median_by_role() -> None:
    runs = [
        Run(images_per_second=speed, milliseconds={"api": cost, "redis": 1.0}, generator_milliseconds=cost)
        for speed, cost in ((10.0, 3.0), (30.0, 1.0), (20.0, 2.0))
    ]
    found = median_run(runs)
    assert (found.images_per_second, found.runs) == (20.0, [10.0, 30.0, 20.0])
    assert found.milliseconds == {"api": 2.0, "redis": 1.0}
    assert (found.generator_milliseconds, found.total_milliseconds) == (2.0, 3.0)
