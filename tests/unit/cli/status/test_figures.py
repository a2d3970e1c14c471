import pytest

from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.state import ROLES, Phase
from cli.status.figures import Figures, LaneFigures, status_figures
from cli.status.processes import Usage
from cli.status.snapshots import Snapshot
from shared.domain.status.process_figures import Published
from tests.support.status_snapshots import CLOCK, program, published, service, snapshot


def record(*, entries: int = 0, oldest: float = 0.0, model: str = "digits") -> Published:
    lanes = [
        {"model": model, "lane": "interactive", "entries": entries, "bytes": 1, "oldest_seconds": oldest},
        {"model": model, "lane": "bulk", "entries": 40, "bytes": 1, "oldest_seconds": 3.5},
    ]
    queue = {
        "lanes": lanes,
        "shadow_entries": {},
        "workers": {model: 2},
        "finished": 12,
        "recorder_lag_seconds": 0.25,
        "memory_used_bytes": 5_000_000,
        "memory_limit_bytes": 2_000_000_000,
        "bells": {},
    }
    return published("record", "upkeep", pid=13, queue=queue)


def batches(images: float, count: float, *, pid: int = 11) -> Published:
    grown = {
        "images_total": {("digits", "succeeded"): images},
        "batch_size_sum": {("digits",): images},
        "batch_size_count": {("digits",): count},
    }
    return published("predict", pid=pid, grown=grown)


def submitted(*, pid: int = 10, **outcomes: float) -> Published:
    counts = {(model, outcome): number for model in ("a", "b") for outcome, number in outcomes.items()}
    return published("api", pid=pid, grown={"submissions_total": counts})


def watched(*processes: Published) -> Figures:
    """Figures of a stack whose processes publish this."""
    programs = [program(name, pid=pid) for pid, name in enumerate(("api", "predict1", "predict2", "record"), start=10)]
    return status_figures([snapshot(0.0, *programs), snapshot(2.0, *programs, service=service(*processes))])


def test_a_model_has_its_lanes_workers_rate_and_mean_batch() -> None:
    shown = watched(batches(60, 4), batches(60, 10, pid=12), record(entries=7, oldest=0.5))
    (digits,) = shown.models
    assert (digits.model, digits.workers) == ("digits", 2)
    assert digits.images == 60.0
    assert digits.batch_size == pytest.approx(120 / 14, abs=0.01)
    assert digits.people == LaneFigures(entries=7, oldest=0.5)
    assert digits.bulk == LaneFigures(entries=40, oldest=3.5)


def test_the_queue_is_as_one_upkeep_worker_publishes_it() -> None:
    queue = watched(record(entries=1, oldest=9.0)).queue
    assert queue is not None
    assert (queue.lag, queue.unrecorded, queue.oldest) == (0.25, 12, 9.0)
    assert (queue.memory, queue.limit) == (5_000_000, 2_000_000_000)


def test_a_queue_that_nobody_could_read_is_unknown() -> None:
    assert watched(published("record", "upkeep")).queue is None
    assert status_figures([snapshot(0.0, program("api"))]).queue is None


def test_a_model_without_figures_is_shown() -> None:
    (digits,) = watched().models
    assert digits.model == "digits"
    assert {digits.workers, digits.images, digits.batch_size, digits.people, digits.bulk} == {None}


def test_a_model_that_is_no_longer_served_is_shown_while_images_wait_for_it() -> None:
    assert [model.model for model in watched(record(model="cats")).models] == ["digits", "cats"]


def test_without_images_the_rate_is_zero_and_there_is_no_mean() -> None:
    (digits,) = watched(published("predict", pid=11)).models
    assert digits.images == 0.0
    assert digits.batch_size is None


def test_answers_are_counted_over_all_models_with_the_caches_share() -> None:
    shown = watched(submitted(queued=30, cached=10, refused=30, limited=20))
    assert shown.answers is not None
    assert shown.answers.rates == {"queued": 30.0, "joined": 0.0, "cached": 10.0, "repeated": 0.0, "refused": 50.0}
    assert shown.answers.cached == 0.25


def test_answers_of_several_gateways_add_up() -> None:
    shown = watched(submitted(queued=30), submitted(queued=10, cached=10, unreadable=1, pid=14))
    assert shown.answers is not None
    assert (shown.answers.rates["queued"], shown.answers.rates["cached"]) == (40.0, 10.0)
    assert shown.answers.rates["unreadable"] == 1.0, "a column that is there where it counts"


def test_the_caches_share_is_unknown_without_submissions() -> None:
    idle = watched(published("api", pid=10)).answers
    assert idle is not None
    assert idle.cached is None
    assert watched().answers is None


def test_a_model_without_a_worker_is_missing() -> None:
    alone = record()
    alone.figures.facts["queue"]["workers"]["digits"] = 0
    predict = next(role for role in watched(alone).roles if role.role == "predict")
    assert (predict.state, predict.why) == ("missing", "no worker serves digits")


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
    snapshots = [
        snapshot(0.0, program("redis"), gone=[7]),
        snapshot(1.0, program("redis"), families={7: family(99.0)}),
    ]
    redis = next(role for role in status_figures(snapshots).roles if role.role == "redis")
    assert redis.cores is None
    assert redis.memory == 100


def test_roles_are_in_order_and_show_a_failure_of_their_programs() -> None:
    programs = [
        program("predict1"),
        program("predict2", pid=8, phase=Phase.CRASHED, detail="killed by SIGKILL"),
        program("record", pid=9),
    ]
    for one in programs:
        one.metrics_url = "http://127.0.0.1:1/metrics"
    heard = service(published("predict", pid=7), published("record", pid=9, silent=7.0))
    shown = status_figures([snapshot(0.0, *programs, service=heard)])
    roles = {role.role: role for role in shown.roles}
    assert tuple(roles) == ROLES
    assert (roles["predict"].state, roles["predict"].why) == ("crashed", "killed by SIGKILL")
    assert (roles["record"].state, roles["record"].why) == ("silent", "record publishes no figures")


def test_where_nothing_runs_only_the_last_errors_are_shown() -> None:
    nothing = Snapshot(at=0.0, clock=CLOCK, began=None, state=None, families={}, troubles=())
    shown = status_figures([snapshot(0.0, program("api")), nothing])
    assert shown == Figures(roles=[], models=[], answers=None, queue=None, troubles=(), tried=[])


def test_a_program_whose_process_is_gone_is_not_ready_whatever_the_supervisor_could_write() -> None:
    """On a disk that refuses writes the state stays as it was."""
    shown = status_figures([snapshot(0.0, program("redis"), program("postgres", pid=8), gone=[7])])
    roles = {role.role: role for role in shown.roles}
    assert (roles["redis"].state, roles["redis"].why) == ("crashed", "process 7 of redis has ended")
    assert roles["postgres"].state == "ready"
