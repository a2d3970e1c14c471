import pytest

from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.state import ROLES, Phase
from cli.status.figures import Figures, LaneFigures, status_figures
from cli.status.processes import Usage
from cli.status.scraping import Scrape
from cli.status.snapshots import Snapshot
from tests.support.status_snapshots import CLOCK, SILENT, program, snapshot, told


def record(*, entries: float = 0, oldest: float = 0.0, model: str = "digits") -> Scrape:
    return told(
        {
            ("darkroom_lane_entries", f"model={model},lane=interactive"): entries,
            ("darkroom_lane_entries", f"model={model},lane=bulk"): 40.0,
            ("darkroom_lane_oldest_age_seconds", f"model={model},lane=interactive"): oldest,
            ("darkroom_lane_oldest_age_seconds", f"model={model},lane=bulk"): 3.5,
            ("darkroom_workers", f"model={model}"): 2.0,
        },
        darkroom_queue_visible=1.0,
        darkroom_finished_entries=12.0,
        darkroom_recorder_lag_seconds=0.25,
        darkroom_redis_memory_used_bytes=5e6,
        darkroom_redis_memory_limit_bytes=2e9,
    )


def batches(images: float, count: float) -> Scrape:
    return told(
        {
            ("darkroom_images_total", "model=digits,outcome=succeeded"): images,
            ("darkroom_batch_size_sum", "model=digits"): images,
            ("darkroom_batch_size_count", "model=digits"): count,
        }
    )


def submitted(**outcomes: float) -> Scrape:
    return told(
        {
            ("darkroom_submissions_total", f"model={model},outcome={outcome}"): number
            for model in ("a", "b")
            for outcome, number in outcomes.items()
        }
    )


def watched(*scrapes: dict[str, Scrape]) -> Figures:
    """Figures after snapshots two seconds apart."""
    usual = ("api", "predict1", "predict2", "record")
    programs = [program(name, pid=pid) for pid, name in enumerate(dict.fromkeys((*usual, *scrapes[0])), start=10)]
    return status_figures([snapshot(2.0 * number, *programs, scrapes=found) for number, found in enumerate(scrapes)])


def test_a_model_has_its_lanes_workers_rate_and_mean_batch() -> None:
    shown = watched(
        {"predict1": batches(0, 0), "predict2": batches(100, 10), "record": record()},
        {"predict1": batches(60, 4), "predict2": batches(160, 20), "record": record(entries=7, oldest=0.5)},
    )
    (digits,) = shown.models
    assert (digits.model, digits.workers) == ("digits", 2)
    assert digits.images == 60.0
    assert digits.batch_size == pytest.approx(120 / 14)
    assert digits.people == LaneFigures(entries=7, oldest=0.5)
    assert digits.bulk == LaneFigures(entries=40, oldest=3.5)


def test_the_queue_is_as_one_record_worker_exports_it() -> None:
    queue = watched({"record": record(entries=1, oldest=9.0)}).queue
    assert queue is not None
    assert (queue.lag, queue.unrecorded, queue.oldest) == (0.25, 12, 9.0)
    assert (queue.memory, queue.limit) == (5_000_000, 2_000_000_000)


def test_a_queue_that_could_not_be_read_is_unknown() -> None:
    assert watched({"record": told(darkroom_queue_visible=0.0)}).queue is None
    assert watched({"record": SILENT}).queue is None


def test_a_model_without_figures_is_shown() -> None:
    (digits,) = watched({}).models
    assert digits.model == "digits"
    assert {digits.workers, digits.images, digits.batch_size, digits.people, digits.bulk} == {None}


def test_a_model_that_is_no_longer_served_is_shown_while_images_wait_for_it() -> None:
    assert [model.model for model in watched({"record": record(model="cats")}).models] == ["digits", "cats"]


def test_without_images_the_rate_is_zero_and_there_is_no_mean() -> None:
    (digits,) = watched({"predict1": batches(9, 3)}, {"predict1": batches(9, 3)}).models
    assert digits.images == 0.0
    assert digits.batch_size is None


def test_answers_are_counted_over_all_models_with_the_caches_share() -> None:
    shown = watched(
        {"api": submitted(queued=100, cached=0, refused=0)},
        {"api": submitted(queued=130, cached=10, refused=30, limited=20)},
    )
    assert shown.answers is not None
    assert shown.answers.rates == {"queued": 30.0, "joined": 0.0, "cached": 10.0, "repeated": 0.0, "refused": 50.0}
    assert shown.answers.cached == 0.25


def test_answers_of_several_gateways_add_up() -> None:
    shown = watched(
        {"api1": submitted(queued=100), "api2": submitted(queued=7, cached=3)},
        {"api1": submitted(queued=130), "api2": submitted(queued=17, cached=13)},
    )
    assert shown.answers is not None
    assert (shown.answers.rates["queued"], shown.answers.rates["cached"]) == (40.0, 10.0)


def test_the_caches_share_is_unknown_without_submissions() -> None:
    idle = watched({"api": submitted(queued=1)}, {"api": submitted(queued=1)}).answers
    assert idle is not None
    assert idle.cached is None
    assert watched({"api": SILENT}, {"api": SILENT}).answers is None


def family(seconds: float, **children: float) -> dict[ProcessIdentity, Usage]:
    """A process of 100 bytes with children of 10 each, and the seconds that each has computed."""
    born = {ProcessIdentity(20 + number, 1): Usage(spent, 10) for number, spent in enumerate(children.values())}
    return {ProcessIdentity(7, 1): Usage(seconds, 100)} | born


def test_a_roles_usage_is_that_of_its_processes_and_their_children() -> None:
    snapshots = [
        snapshot(0.0, program("postgres"), families={7: family(50.0, a=1.0)}),
        snapshot(2.0, program("postgres"), families={7: family(50.5, a=1.5, b=1.0)}),
    ]
    postgres = next(role for role in status_figures(snapshots).roles if role.role == "postgres")
    assert postgres.cores == 1.0
    assert postgres.memory == 120
    assert postgres.pids == (7,)


def test_a_process_in_one_snapshot_has_memory_and_no_cpu_share() -> None:
    snapshots = [snapshot(0.0, program("redis")), snapshot(1.0, program("redis"), families={7: family(99.0)})]
    redis = next(role for role in status_figures(snapshots).roles if role.role == "redis")
    assert redis.cores is None
    assert redis.memory == 100


def test_roles_are_in_order_and_show_a_failure_of_their_programs() -> None:
    programs = [
        program("predict1"),
        program("predict2", pid=8, phase=Phase.CRASHED, detail="killed by SIGKILL"),
        program("record", pid=9),
    ]
    shown = status_figures([snapshot(0.0, *programs, scrapes={"record": SILENT})])
    roles = {role.role: role for role in shown.roles}
    assert tuple(roles) == ROLES
    assert (roles["predict"].phase, roles["predict"].why) == (Phase.CRASHED, "killed by SIGKILL")
    assert (roles["record"].phase, roles["record"].why) == (Phase.READY, "metrics of record: no answer within 1 s")


def test_where_nothing_runs_only_the_last_errors_are_shown() -> None:
    nothing = Snapshot(at=0.0, clock=CLOCK, began=None, state=None, scrapes={}, families={}, troubles=())
    shown = status_figures([snapshot(0.0, program("api")), nothing])
    assert shown == Figures(roles=[], models=[], answers=None, queue=None, troubles=(), tried=[])
