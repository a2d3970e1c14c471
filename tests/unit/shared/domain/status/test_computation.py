"""The status is computed from figures: several processes of a role, silent ones, none at all."""

from typing import Any

from shared.domain.status.computation import Duty, figures_of
from shared.domain.status.process_figures import SEPARATOR, Growth, ProcessFigures, Published, parse_figures
from shared.domain.status.samples import COLUMNS, history, sample_of
from shared.observability import process_figures

NOW = 1_000_000.0
QUEUE = {
    "lanes": [
        {"model": "digits", "lane": "interactive", "entries": 7, "bytes": 700, "oldest_seconds": 1.5},
        {"model": "digits", "lane": "bulk", "entries": 9, "bytes": 900, "oldest_seconds": 20.0},
    ],
    "shadow_entries": {"digits": 2},
    "workers": {"digits": 2},
    "finished": 3,
    "recorder_lag_seconds": 0.2,
    "memory_used_bytes": 10,
    "memory_limit_bytes": 0,
    "bells": {"predict.digits": 1},
}
READY = {role: Duty(state="ready", detail="") for role in ("record", "webhooks", "upkeep")}


def process(name: str, *roles: str, silent: float = 0.0, **more: Any) -> Published:
    figures = ProcessFigures(name=name, roles=roles, host="h", pid=1, up_seconds=60.0, **more)
    return Published(figures=parse_figures(figures.dumped()), silent_seconds=silent)


def grown(window: int, seconds: float, **series: dict[tuple[str, ...], float]) -> dict[int, Growth]:
    named = {
        f"darkroom_{name}": {SEPARATOR.join(labels): value for labels, value in values.items()}
        for name, values in series.items()
    }
    return {window: Growth(seconds=seconds, series=named)}


def worker(name: str, *, images: float, forward: float, **more: Any) -> Published:
    return process(
        name,
        "predict",
        grown=grown(
            10,
            10.0,
            images_total={("digits", "succeeded"): images, ("digits", "model_error"): 10.0},
            batch_size_sum={("digits",): images},
            batch_size_count={("digits",): 10.0},
            forward_seconds_sum={("digits",): forward},
        ),
        **more,
    )


def test_the_figures_of_a_roles_processes_are_added() -> None:
    found = figures_of(
        [
            worker("a", images=100.0, forward=5.0),
            worker("b", images=300.0, forward=2.0),
            process("u", "upkeep", "record", facts={"queue": QUEUE}),
        ],
        READY,
        now_seconds=NOW,
    )
    (model,) = found.models
    assert (model.model, model.workers, model.images_per_second, model.failed_per_second) == ("digits", 2, 42.0, 2.0)
    assert model.batch_size == 20.0
    assert found.images_per_second == 42.0
    assert model.interactive
    assert (model.interactive.entries, model.interactive.oldest_seconds) == (7, 1.5)
    predict = next(role for role in found.roles if role.role == "predict")
    assert [(one.name, one.busy) for one in predict.processes] == [("a", 0.5), ("b", 0.2)]
    assert found.recording
    assert found.recording.waiting == 3
    assert found.memory_limit_bytes is None, "no limit"


def test_percentiles_are_those_of_all_processes_together() -> None:
    def recorder(name: str, below: float) -> Published:
        counts = {("digits", "0.1"): below, ("digits", "0.2"): 50.0, ("digits", "+Inf"): 50.0}
        return process(name, "record", grown=grown(60, 60.0, prediction_duration_seconds_bucket=counts))

    found = figures_of([recorder("a", 50.0), recorder("b", 0.0)], READY, now_seconds=NOW)
    assert found.latency_seconds
    assert (found.latency_seconds.p50, found.latency_seconds.p95) == (0.1, 0.19)


def test_a_process_that_no_longer_publishes_is_silent_and_its_role_late() -> None:
    found = figures_of([process("a", "record", silent=7.0)], READY, now_seconds=NOW)
    record = next(role for role in found.roles if role.role == "record")
    assert (record.state, record.detail, record.processes[0].state) == ("late", "a is silent", "silent")


def test_a_worker_without_a_heartbeat_is_stuck() -> None:
    values = {"darkroom_worker_heartbeat_timestamp_seconds": {"": NOW - 200}}
    found = figures_of([process("a", "predict", values=values)], READY, now_seconds=NOW)
    assert found.roles[1].processes[0].state == "stuck"


def test_a_gpu_is_shown_with_its_memory_and_not_where_another_release_says_less_of_it() -> None:
    gpu = {"name": "H100", "allocated_bytes": 1, "reserved_bytes": 2, "free_bytes": 3, "total_bytes": 9, "new": 0}
    told = [process("a", "predict", facts={"device": gpu}), process("b", "predict", facts={"device": {"name": "T4"}})]
    shown, less = figures_of(told, READY, now_seconds=NOW).roles[1].processes
    assert shown.device
    assert (shown.device.name, shown.device.free_bytes, shown.device.total_bytes) == ("H100", 3, 9)
    assert less.device is None


def test_a_model_without_a_worker_makes_predicting_missing() -> None:
    queue = QUEUE | {"workers": {"digits": 0}}
    found = figures_of([process("u", "upkeep", facts={"queue": queue})], READY, now_seconds=NOW)
    assert (found.roles[1].state, found.roles[1].detail) == ("missing", "no worker serves digits")


def test_what_nobody_publishes_is_unknown_and_says_why() -> None:
    found = figures_of([], {}, now_seconds=NOW)
    assert (found.images_per_second, found.submissions, found.recording, found.requests) == (None,) * 4
    assert {one.what for one in found.unknown} == {"queue", "submissions", "images", "deliveries"}
    assert {role.state for role in found.roles} == {"unknown", "missing"}
    assert sample_of(found)[COLUMNS.index("interactive_entries")] is None


def test_submissions_over_a_limit_are_refused_and_leave_the_cache_share_alone() -> None:
    counts = {("digits", outcome): 10.0 for outcome in ("queued", "cached", "refused", "limited")}
    found = figures_of([process("g", "api", grown=grown(10, 10.0, submissions_total=counts))], READY, now_seconds=NOW)
    assert found.submissions
    assert found.submissions.refused_per_second == 2.0
    assert found.cache_share == 0.5
    sample = dict(zip(COLUMNS, sample_of(found), strict=True))
    assert (sample["submitted_per_second"], sample["refused_per_second"]) == (2.0, 2.0)


def test_history_is_a_list_for_each_column() -> None:
    told = history([(10_000, {"images_per_second": 3.0}), (20_000, {})])
    assert told["at"] == [10, 20]
    assert told["images_per_second"] == [3.0, None]
    assert {len(values) for values in told.values()} == {2}


def test_history_has_a_gap_where_no_sample_was_kept() -> None:
    told = history([(10_000, {"workers": 1.0}), (20_000, {"workers": 1.0}), (900_000, {"workers": 2.0})])
    assert told["at"] == [10, 20, 30, 900]
    assert told["workers"] == [1.0, 1.0, None, 2.0]


def test_the_separator_is_the_same_where_figures_are_read_and_parsed() -> None:
    assert process_figures.SEPARATOR == SEPARATOR
