"""Which alerts hold, from when, and what they say."""

from typing import Any

import pytest

from shared.domain.status.alert_conditions import Holding, holding, shown, since_when
from shared.domain.status.computation import figures_of
from shared.domain.status.process_figures import Published
from tests.unit.shared.domain.status.test_computation import NOW, QUEUE, READY, grown, process

SECOND = 1_000_000


def names(*processes: Published, silence: dict[str, float] | None = None) -> list[str]:
    all_of = [process("r", "record", "webhooks"), *processes]
    figures = figures_of(all_of, READY, now_seconds=NOW)
    return [one.key for one in holding(figures, all_of, silence=silence or {}, now_seconds=NOW)]


def upkeep(**changes: Any) -> Published:
    return process("u", "upkeep", facts={"queue": QUEUE | changes})


def lane(kind: str, oldest: float) -> dict[str, Any]:
    return {"model": "digits", "lane": kind, "entries": 1, "bytes": 1, "oldest_seconds": oldest}


def test_nothing_holds_where_all_is_well() -> None:
    assert names(upkeep()) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"workers": {"digits": 0}}, "NoWorker digits"),
        ({"workers": {}}, "NoModelServed"),
        ({"lanes": [lane("interactive", 61.0)]}, "PeopleWait digits"),
        ({"lanes": [lane("bulk", 3601.0)]}, "BulkWaits digits"),
        ({"bells": {"record": 31}}, "BellsUnanswered record"),
        ({"recorder_lag_seconds": 61.0}, "RecorderLags"),
        ({"memory_used_bytes": 71, "memory_limit_bytes": 100}, "RedisFillsUp"),
    ],
)
def test_the_queue_tells(changes: dict[str, Any], expected: str) -> None:
    assert names(upkeep(**changes)) == [expected]


@pytest.mark.parametrize(
    ("window", "series", "expected"),
    [
        (300, {"http_requests_total": {("POST", "/v1/p", "503"): 11.0}}, ["RequestsFail /v1/p"]),
        (300, {"http_requests_total": {("GET", "/health/ready", "503"): 11.0}}, []),
        (300, {"http_requests_total": {("POST", "/v1/p", "503"): 10.0}}, []),
        (900, {"webhook_attempts_total": {("pending",): 21.0, ("delivered",): 22.0}}, []),
        (900, {"webhook_attempts_total": {("pending",): 21.0, ("delivered",): 20.0}}, ["DeliveriesFail"]),
        (3600, {"webhook_attempts_total": {("exhausted",): 1.0}}, ["DeliveriesGivenUp"]),
        (900, {"pictures_total": {("no_room",): 11.0, ("kept",): 99.0}}, ["PicturesNotKept"]),
        (900, {"shadow_skipped_total": {("digits", "lane_full"): 11.0}}, ["ShadowNotKeepingUp digits"]),
        (900, {"shadow_predictions_total": {("digits", "4", "failed", "no"): 11.0}}, ["ShadowFails 4 digits"]),
        (120, {"record_failures_total": {("",): 6.0}}, ["RecordingFails"]),
        (
            600,
            {
                "predictions_failed_total": {("digits", "model_error"): 11.0, ("digits", "undecodable_image"): 99.0},
                "predictions_total": {("digits", "3", "champion", "failed", "model"): 110.0},
            },
            ["PredictionsFail digits"],
        ),
        (
            600,
            {
                "predictions_failed_total": {("digits", "deadline_exceeded"): 11.0},
                "predictions_total": {("digits", "3", "champion", "failed", "model"): 20.0},
            },
            ["PredictionsTooLate digits"],
        ),
    ],
)
def test_counters_tell(window: int, series: dict[str, Any], expected: list[str]) -> None:
    assert names(upkeep(), process("p", "api", grown=grown(window, 60.0, **series))) == expected


def test_versions_roles_and_sweeps_tell() -> None:
    failing = {
        "darkroom_model_version_failing": {"digits\x1f4": 1.0},
        "darkroom_champion_went_back": {"digits\x1f5": 1.0},
        "darkroom_canary_went_back": {"digits\x1f6": 1.0},
        "darkroom_sweep_timestamp_seconds": {"": NOW - 121},
        "darkroom_worker_heartbeat_timestamp_seconds": {"": NOW - 181},
    }
    found = names(upkeep(), process("p", "predict", values=failing), silence={"webhooks": 61.0})
    assert found == [
        *("WorkerStuck predict", "RoleMissing webhooks", "SweepsStand"),
        *("ModelVersionFails 4 digits", "ChampionWentBack 5 digits", "CanaryWentBack 6 digits"),
    ]


def test_without_workers_their_absence_and_the_queues_hold() -> None:
    figures = figures_of([], {}, now_seconds=NOW)
    found = holding(figures, [], silence={}, now_seconds=NOW)
    assert [one.name for one in found] == ["RecordWorkerDown", "WebhookWorkerDown", "QueueNotVisible"]


def test_an_alert_is_pending_until_it_has_held_for_long_enough() -> None:
    one = Holding(name="NoWorker", labels={"model": "digits"})
    since = since_when([one], {}, now_us=0)
    assert since_when([one], since, now_us=50 * SECOND) == since == {"NoWorker digits": 0}
    (pending,) = shown([one], since, now_us=119 * SECOND)
    (firing,) = shown([one], since, now_us=120 * SECOND)
    assert (pending.state, firing.state, firing.since_us) == ("pending", "firing", 0)
    assert firing.summary == "No worker serves digits"
    assert since_when([], since, now_us=0) == {}


def test_pages_come_before_warnings_and_what_fires_before_both() -> None:
    all_of = [Holding(name=name) for name in ("SweepsStand", "QueueNotVisible", "DeliveriesGivenUp")]
    order = [one.name for one in shown(all_of, {}, now_us=0)]
    assert order == ["DeliveriesGivenUp", "QueueNotVisible", "SweepsStand"], "the first must not hold for a time"
