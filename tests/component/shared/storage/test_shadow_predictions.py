"""Shadow predictions: each once, only beside its prediction, and gone with it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from shared.domain.identifiers import ModelName, Owner, PredictionId, new_uuid7
from shared.settings import Retention
from shared.storage import retention
from shared.storage.audit_queries import wrong_shadow_predictions
from shared.storage.recording import record
from shared.storage.shadow_predictions import (
    UNSTORABLE,
    ShadowPrediction,
    Stored,
    shadow_predictions_of,
    store_shadow_predictions,
)
from worker.upkeep import retention as housekeeping

Make = Callable[..., dict[bytes, bytes]]
NOW = datetime.now(UTC)


def answered(id: str, **changes: Any) -> ShadowPrediction:
    facts: dict[str, Any] = {
        "version": "4", "version_key": "4-m-2", "status": "succeeded", "output": {"predicted_class": "1"},
        "agrees": False, "predict_ms": 3.5, "created_at": NOW,
    }  # fmt: skip
    return ShadowPrediction(prediction_id=PredictionId(id), **(facts | changes))


def store(engine: Engine, *shadows: ShadowPrediction) -> Stored:
    with engine.connect() as connection:
        return store_shadow_predictions(connection, shadows)


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM shadow_predictions")) or 0


@pytest.fixture
def recorded(engine: Engine, finished_record: Make) -> Callable[..., PredictionId]:
    """Record a prediction; return its id."""

    def recorded(**fields: Any) -> PredictionId:
        one = finished_record(**fields)
        with engine.connect() as connection:
            record(connection, [one])
        return PredictionId(one[b"id"].decode())

    return recorded


def test_a_shadow_prediction_is_stored_beside_its_prediction(
    engine: Engine, recorded: Callable[..., PredictionId]
) -> None:
    id = recorded(owner="ann")
    one = answered(id)
    assert store(engine, one).inserted == [one]
    with engine.connect() as connection:
        assert shadow_predictions_of(connection, id, Owner("ann")) == [(ModelName("digits"), one)]
        assert shadow_predictions_of(connection, id, None) == [(ModelName("digits"), one)]
        assert shadow_predictions_of(connection, id, Owner("bob")) == []
        row = connection.execute(text("SELECT owner, variant FROM shadow_predictions")).one()
    assert tuple(row) == ("ann", "shadow")


def test_a_shadow_prediction_is_stored_once_by_however_many_recorders(
    engine: Engine, recorded: Callable[..., PredictionId]
) -> None:
    shadows = [answered(recorded()) for _ in range(20)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: store(engine, *shadows, *reversed(shadows)), range(8)))
    assert count(engine) == 20
    assert {one.prediction_id for stored in found for one in stored.inserted} == {one.prediction_id for one in shadows}


def test_two_shadows_of_a_prediction_are_two_rows(engine: Engine, recorded: Callable[..., PredictionId]) -> None:
    id = recorded()
    store(engine, answered(id), answered(id, version="5", version_key="5-m-3"))
    assert count(engine) == 2


def test_nothing_is_stored_of_a_prediction_that_has_no_row(
    engine: Engine, recorded: Callable[..., PredictionId]
) -> None:
    id = recorded()
    stored = store(engine, answered(new_uuid7()), answered(id), answered("no-uuid"))
    assert (stored.known, count(engine)) == ({id}, 1)


@pytest.mark.parametrize("refused", [{"output": {"a": "\0"}}, {"error": "a\0b", "output": None, "status": "failed"}])
def test_text_that_postgres_refuses_is_left_out_and_its_neighbours_are_stored(
    engine: Engine, recorded: Callable[..., PredictionId], refused: dict[str, Any]
) -> None:
    good, bad = recorded(), recorded()
    store(engine, answered(good), answered(bad, **refused))
    with engine.connect() as connection:
        [(_, one)] = shadow_predictions_of(connection, bad, None)
    assert (one.output, one.error, count(engine)) == (None, UNSTORABLE, 2)


def test_retention_deletes_a_shadow_prediction_with_its_prediction(
    engine: Engine, recorded: Callable[..., PredictionId]
) -> None:
    old = NOW - timedelta(days=40)
    micros = int(old.timestamp() * 1e6)
    aged = recorded(id=new_uuid7(unix_ms=micros // 1000), created=micros, started=micros, completed=micros)
    young = recorded()
    store(engine, answered(aged), answered(young))
    keep = Retention(predictions=timedelta(days=30))
    assert housekeeping.Retention(engine, keep, secret_overlap=timedelta(days=1)).sweep() == 1
    assert count(engine) == 1


def test_purging_an_owner_deletes_his_shadow_predictions(engine: Engine, recorded: Callable[..., PredictionId]) -> None:
    mine, others = recorded(owner="ann"), recorded(owner="bob")
    store(engine, answered(mine), answered(others))
    with engine.connect() as connection:
        retention.delete_of_owner(connection, Owner("ann"), "predictions", limit=10)
        assert shadow_predictions_of(connection, mine, None) == []
    assert count(engine) == 1


def test_the_audit_names_a_shadow_prediction_that_a_client_may_have_got(
    engine: Engine, recorded: Callable[..., PredictionId]
) -> None:
    sound, returned, cached = recorded(), recorded(), recorded(source="cache")
    store(engine, answered(sound), answered(returned, version="3", version_key="3-m-1"), answered(cached))
    with engine.connect() as connection:
        assert sorted(wrong_shadow_predictions(connection)) == sorted(
            [
                f"shadow prediction of {returned} by 3-m-1: it is of the version that answered the client",
                f"shadow prediction of {cached} by 4-m-2: it is beside a prediction that the champion did not compute",
            ]
        )
