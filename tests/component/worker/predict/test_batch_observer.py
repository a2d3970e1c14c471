"""What a predict worker counts and logs, on a real Redis."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry

from shared.domain.canary import Canary, Phase
from shared.domain.identifiers import VersionKey, VersionNumber
from shared.observability.metrics import PredictMetrics
from shared.queue.consumer.entries import Entry, Result, Wanted
from shared.queue.consumer.lanes import Lanes
from shared.settings import Queue
from tests.simulation.pictures import RAISES, UNREADABLE, picture
from tests.support.leases import LEASE, end_leases
from tests.support.observations import observer
from tests.support.predictors import MODEL, Make, Submit, Watched
from worker.models.versions.version_observer import VersionObserver


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def value(registry: CollectorRegistry) -> Callable[..., float | None]:
    """Return a sample of the model's: `value(name, **labels)`."""
    return lambda name, **labels: registry.get_sample_value(name, {"model": "m"} | labels)


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.getMessage() == event]


def test_a_micro_batch_is_counted_by_outcomes_and_time_per_step(
    submit: Submit, predictor: Make, registry: CollectorRegistry, value: Callable[..., float | None]
) -> None:
    for number in (10, 11, 12, RAISES, UNREADABLE):
        submit(number)
    predictor(Watched(), registry=registry).poll()
    assert value("darkroom_images_total", outcome="succeeded") == 3
    assert value("darkroom_images_total", outcome="model_error") == 1
    assert value("darkroom_images_total", outcome="undecodable_image") == 1
    assert value("darkroom_attempts_total") == 5
    assert (value("darkroom_batch_size_count"), value("darkroom_batch_size_sum")) == (1, 5)
    assert value("darkroom_queue_seconds_count", lane="interactive") == 5
    for part in ("decode", "forward", "finish"):
        assert value(f"darkroom_{part}_seconds_count") == 1


def test_an_images_wait_is_counted_by_its_kind_of_lane(
    submit: Submit,
    redis_client: redis.Redis,
    registry: CollectorRegistry,
    value: Callable[..., float | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for lane in ("interactive", "bulk:b1", "bulk:b2"):
        submit(10, lane=lane)
    lanes = Lanes(redis_client, model=MODEL, consumer="w", settings=Queue(lease=LEASE))
    entries = lanes.pull(10).entries
    seen = observer(lanes, registry)
    monkeypatch.setattr("time.time", lambda: entries[0].submitted_ms / 1000 + 7)
    seen.pulled(entries)
    assert value("darkroom_queue_seconds_sum", lane="interactive") == pytest.approx(7, abs=0.01)
    assert value("darkroom_queue_seconds_count", lane="bulk") == 2
    monkeypatch.setattr("time.time", lambda: 0.0)  # a clock that is behind Redis' must not make a negative wait
    seen.pulled(entries)
    assert value("darkroom_queue_seconds_sum", lane="interactive") == pytest.approx(7, abs=0.01)


def test_a_failed_image_is_logged_with_its_prediction(
    submit: Submit, predictor: Make, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, good = submit(RAISES), submit(RAISES), submit(10)
    redis_client.hset(f"job:{first}", mapping={"batch": "b-1", "request": b'{"request_id": "r-1", "webhook": null}'})
    predictor(Watched()).poll()
    [line] = told(caplog, "image_failed")
    assert (line["prediction_id"], line["batch_id"], line["request_id"]) == (first, "b-1", "r-1")
    assert (line["others"], line["version"], line["attempt"]) == (1, "3-a", 1)
    assert (line["error_code"], line["error"]) == ("model_error", "ValueError: no such picture")
    assert second != first != good


def test_a_reclaimed_image_is_counted_and_logged_before_it_runs(
    submit: Submit, predictor: Make, registry: CollectorRegistry, value: Callable[..., float | None],
    caplog: pytest.LogCaptureFixture, redis_client: redis.Redis,
) -> None:  # fmt: skip
    id = submit(10)
    dead = Lanes(redis_client, model=MODEL, consumer="dead", settings=Queue(lease=LEASE))
    assert dead.pull(1).entries
    end_leases(redis_client)
    assert predictor(Watched(), registry=registry).poll()["images"] == 1
    assert value("darkroom_reclaimed_total") == 1
    assert [line["prediction_id"] for line in told(caplog, "suspect_taken_over")] == [id]
    assert told(caplog, "suspect_taken_over")[0]["attempt"] == 2


def test_results_are_kept_when_redis_fails_while_logging(
    submit: Submit, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgetful(Lanes):
        def who_wants(self, entries: object) -> dict[str, Wanted]:
            raise redis.ConnectionError(str(entries))

    submit(10)
    lanes = Forgetful(redis_client, model=MODEL, consumer="w", settings=Queue(lease=LEASE))
    entries = lanes.pull(1).entries
    observer(lanes).computed([Result(entries[0], "failed", error="words", code="model_error")])
    [line] = told(caplog, "image_failed")
    assert line["error"] == "words"
    assert "prediction_id" not in line


def test_only_the_entry_of_the_current_computation_is_wanted(submit: Submit, redis_client: redis.Redis) -> None:
    submit(10)
    lanes = Lanes(redis_client, model=MODEL, consumer="w", settings=Queue(lease=LEASE))
    [entry] = lanes.pull(1).entries
    other = Entry(entry.lane, "1-1", entry.waiting, entry.cache, entry.version, picture(10))
    assert list(lanes.who_wants([other, entry])) == [entry.id]
    redis_client.delete(entry.waiting)
    assert lanes.who_wants([entry]) == {}


def test_serving_and_failing_versions_are_exported_while_they_are_so(
    registry: CollectorRegistry, value: Callable[..., float | None]
) -> None:
    versions = VersionObserver(PredictMetrics(registry), MODEL)
    versions.show({"champion": VersionKey("3-a")}, failing={VersionNumber("4"): "broken"})
    assert value("darkroom_model_version_serving", alias="champion", version="3") == 1
    assert value("darkroom_model_version_failing", version="4") == 1
    versions.show({"champion": VersionKey("5-b"), "shadow": VersionKey("3-a")}, failing={})
    assert value("darkroom_model_version_serving", alias="champion", version="3") is None
    assert value("darkroom_model_version_serving", alias="champion", version="5") == 1
    assert value("darkroom_model_version_serving", alias="shadow", version="3") == 1
    assert value("darkroom_model_version_failing", version="4") is None


def test_where_the_last_canary_is_is_exported_until_its_tag_is_gone(
    registry: CollectorRegistry, value: Callable[..., float | None]
) -> None:
    versions = VersionObserver(PredictMetrics(registry), MODEL)
    begun = Canary(
        version=VersionNumber("4"), champion=VersionNumber("3"), steps=(5, 100), every=1, max_errors=0.01, max_p99=2,
        began=0, since=0,
    )  # fmt: skip
    versions.show({}, failing={}, canary=begun)
    assert value("darkroom_canary", version="4", phase="running") == 1
    versions.show({}, failing={}, canary=replace(begun, phase=Phase.WENT_BACK))
    assert value("darkroom_canary", version="4", phase="running") is None
    assert value("darkroom_canary", version="4", phase="went_back") == 1
    versions.show({}, failing={})
    assert value("darkroom_canary", version="4", phase="went_back") is None


def test_that_a_canary_went_back_is_exported_for_a_day(
    registry: CollectorRegistry, value: Callable[..., float | None]
) -> None:
    day, went = 86_400.0, 1_000.0
    now = iter([went + 1, went + day - 1, went + day, went + 2])
    versions = VersionObserver(PredictMetrics(registry), MODEL, now=lambda: next(now))
    back = Canary(
        version=VersionNumber("4"), champion=VersionNumber("3"), steps=(5, 100), every=1, max_errors=0.01, max_p99=2,
        began=0, since=went, phase=Phase.WENT_BACK,
    )  # fmt: skip
    for shown in (1, 1, None):
        versions.show({}, failing={}, canary=back)
        assert value("darkroom_canary_went_back", version="4") == shown
    versions.show({}, failing={}, canary=back)
    versions.show({}, failing={}, canary=replace(back, phase=Phase.RUNNING))
    assert value("darkroom_canary_went_back", version="4") is None, "another canary runs"


def test_loads_are_counted_and_failed_ones_still_raise(
    registry: CollectorRegistry, value: Callable[..., float | None]
) -> None:
    versions = VersionObserver(PredictMetrics(registry), MODEL)
    with versions.loading():
        pass
    with pytest.raises(OSError, match="gone"), versions.loading():
        raise OSError("gone")
    assert value("darkroom_model_loads_total", outcome="loaded") == 1
    assert value("darkroom_model_loads_total", outcome="failed") == 1
    assert value("darkroom_model_load_seconds_count") == 1
