"""Shadows' answers are stored beside their prediction's row: once, never before it, and not after it was deleted."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from shared.domain.identifiers import Owner, PredictionId, new_uuid7
from shared.queue import keys
from shared.storage import retention
from shared.storage.recording import record
from shared.storage.shadow_predictions import ShadowPrediction, Stored, store_shadow_predictions
from tests.support.observations import record_metrics
from worker.record.shadow_recorder import ShadowRecorder

Make = Callable[..., dict[bytes, bytes]]


def answer(client: redis.Redis, id: str, **changes: str) -> None:
    fields = {
        "prediction": id, "model": "digits", "version": "4", "key": "4-m-2", "state": "succeeded",
        "output": '{"predicted_class":"1"}', "error": "", "code": "", "agrees": "true", "predict_ms": "2.5",
        "created": str(time.time_ns() // 1000),
    }  # fmt: skip
    client.xadd(keys.SHADOW_RESULTS, {**fields, **changes})  # type: ignore[arg-type]


def rows(engine: Engine) -> list[tuple[str, str, bool | None]]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT prediction_id::text, status, agrees FROM shadow_predictions"))
        return [(row.prediction_id, row.status, row.agrees) for row in found]


@pytest.fixture
def store(engine: Engine) -> Callable[[list[ShadowPrediction]], Stored]:
    def store(shadows: list[ShadowPrediction]) -> Stored:
        with engine.connect() as connection:
            return store_shadow_predictions(connection, shadows)

    return store


@pytest.fixture
def recorder(
    redis_client: redis.Redis, store: Callable[[list[ShadowPrediction]], Stored]
) -> Callable[..., ShadowRecorder]:
    """Make a recorder whose leases end at once."""

    def make(
        consumer: str = "r", *, registry: CollectorRegistry | None = None, lease: timedelta = timedelta(0)
    ) -> ShadowRecorder:
        return ShadowRecorder(redis_client, store, consumer=consumer, metrics=record_metrics(registry), lease=lease)

    return make


@pytest.fixture
def recorded(engine: Engine, finished_record: Make) -> Callable[..., PredictionId]:
    """Record a prediction; return its id."""

    def recorded(**fields: str) -> PredictionId:
        one = finished_record(**fields)
        with engine.connect() as connection:
            record(connection, [one])
        return PredictionId(one[b"id"].decode())

    return recorded


def test_an_answer_is_stored_once_and_counted_once(
    redis_client: redis.Redis, engine: Engine, recorder: Callable[..., ShadowRecorder],
    recorded: Callable[..., PredictionId],
) -> None:  # fmt: skip
    registry = CollectorRegistry()
    same, other, failed = recorded(), recorded(), recorded()
    one = recorder(registry=registry)
    for _ in range(2):
        answer(redis_client, same)
        answer(redis_client, other, agrees="false")
        answer(redis_client, failed, state="failed", output="", code="model_error", error="no", agrees="")
        assert one.run_once() == 3
    assert sorted(rows(engine)) == sorted(
        [(same, "succeeded", True), (other, "succeeded", False), (failed, "failed", None)]
    )
    assert redis_client.xlen(keys.SHADOW_RESULTS) == 0
    labels = {"model": "digits", "version": "4"}
    for status, agrees in (("succeeded", "yes"), ("succeeded", "no"), ("failed", "unknown")):
        name = "darkroom_shadow_predictions_total"
        assert registry.get_sample_value(name, labels | {"status": status, "agrees": agrees}) == 1


def test_an_answer_waits_for_its_predictions_row(
    redis_client: redis.Redis, engine: Engine, recorder: Callable[..., ShadowRecorder],
    recorded: Callable[..., PredictionId],
) -> None:  # fmt: skip
    id = new_uuid7()
    redis_client.hset(keys.job(PredictionId(id)), mapping={"state": "succeeded"})
    answer(redis_client, id)
    assert recorder().run_once() == 0
    assert redis_client.xlen(keys.SHADOW_RESULTS) == 1
    recorded(id=id)
    assert recorder("another").run_once() == 1
    assert rows(engine) == [(id, "succeeded", True)]


@pytest.mark.parametrize("hash_is_left", [True, False])
def test_an_answer_to_a_deleted_prediction_is_dropped(
    redis_client: redis.Redis, engine: Engine, recorder: Callable[..., ShadowRecorder],
    recorded: Callable[..., PredictionId], *, hash_is_left: bool,
) -> None:  # fmt: skip
    id = recorded(owner="ann")
    if hash_is_left:
        redis_client.hset(keys.job(id), mapping={"state": "succeeded"})
        redis_client.expire(keys.job(id), 60)
    with engine.connect() as connection:
        retention.delete_of_owner(connection, Owner("ann"), "predictions", limit=10)
    answer(redis_client, id)
    assert recorder().run_once() == 1
    assert (rows(engine), redis_client.xlen(keys.SHADOW_RESULTS)) == ([], 0)


def test_a_recorder_killed_after_its_commit_leaves_one_row(
    redis_client: redis.Redis, engine: Engine, recorder: Callable[..., ShadowRecorder],
    recorded: Callable[..., PredictionId], store: Callable[[list[ShadowPrediction]], Stored],
) -> None:  # fmt: skip
    id = recorded()
    answer(redis_client, id)

    def commit_and_die(shadows: list[ShadowPrediction]) -> Stored:
        store(shadows)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ShadowRecorder(redis_client, commit_and_die, consumer="dies", metrics=record_metrics()).run_once()
    assert rows(engine) == [(id, "succeeded", True)]
    assert recorder().run_once() == 1
    assert rows(engine) == [(id, "succeeded", True)]


def test_while_postgres_is_away_answers_wait(
    redis_client: redis.Redis, engine: Engine, recorder: Callable[..., ShadowRecorder],
    recorded: Callable[..., PredictionId],
) -> None:  # fmt: skip
    id = recorded()
    answer(redis_client, id)

    def away(_: list[ShadowPrediction]) -> Stored:
        raise OperationalError("", {}, OSError("away"))

    assert ShadowRecorder(redis_client, away, consumer="r", metrics=record_metrics()).run_once() == 0
    assert recorder().run_once() == 1
    assert rows(engine) == [(id, "succeeded", True)]


def test_without_shadows_nothing_is_made(redis_client: redis.Redis, recorder: Callable[..., ShadowRecorder]) -> None:
    assert recorder().run_once() == 0
    assert not redis_client.exists(keys.SHADOW_RESULTS)
