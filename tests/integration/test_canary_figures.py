"""The figures that a canary is judged by, counted in Postgres and handed over through Redis."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from shared.domain.canary import Canary
from shared.domain.identifiers import PredictionId, VersionNumber, new_uuid7
from shared.queue import canary_figures
from shared.storage.recording import record
from shared.storage.shadow_predictions import ShadowPrediction, store_shadow_predictions
from tests.support.registries import MODEL
from worker.upkeep.canary_figures import CanaryFigures, figures_of_canary

ONE, TWO = VersionNumber("1"), VersionNumber("2")


def shadow_of(id: PredictionId, *, agrees: bool) -> ShadowPrediction:
    return ShadowPrediction(
        prediction_id=id,
        version=TWO,
        version_key="2-m-1",
        status="succeeded",
        output={"predicted_class": "7"},
        agrees=agrees,
        predict_ms=5.0,
        created_at=datetime.now(UTC),
    )


def test_upkeep_counts_what_a_canary_is_judged_by(
    redis_client: redis.Redis, engine: Engine, finished_record: Callable[..., dict[bytes, bytes]]
) -> None:
    now = time.time()
    canary = Canary(
        version=TWO,
        champion=ONE,
        steps=(5, 100),
        every=60,
        max_errors=0.01,
        max_p99=1.5,
        began=now - 100,
        since=now - 50,
    )

    def add(version: str, variant: str, *, age: float, ms: int = 10, **changes: Any) -> PredictionId:
        created = int((now - age) * 1e6)
        one = finished_record(
            id=new_uuid7(unix_ms=created // 1000),
            created=created,
            started=created,
            completed=created + ms * 1000,
            request={"model": MODEL, "version": version, "variant": variant},
            **changes,
        )
        with engine.connect() as connection:
            record(connection, [one])
        return PredictionId(one[b"id"].decode())

    compared = [add("1", "champion", age=90, ms=20) for _ in range(3)]
    for _ in range(3):
        add("2", "challenger", age=10, ms=30)
    add("1", "champion", age=200, ms=5000)  # before the canary
    add("2", "challenger", age=70, ms=5000)  # before this step
    add("2", "2", age=10, ms=5000)  # asked for by its number
    add("2", "challenger", age=10, state="failed", code="model_error", output={})
    add("2", "challenger", age=10, state="failed", code="undecodable_image", output={})
    with engine.connect() as connection:
        found = figures_of_canary(connection, MODEL, canary)
    assert (found.ended, found.errors) == (4, 1)
    assert (found.agreed, found.compared) == (0, 0)  # not asked for
    with engine.connect() as connection:
        store_shadow_predictions(connection, [shadow_of(id, agrees=id != compared[0]) for id in compared])
        agreeing = figures_of_canary(connection, MODEL, replace(canary, min_agreement=0.5))
    assert (agreeing.agreed, agreeing.compared) == (2, 3)
    assert found.p99_ms == pytest.approx(30, rel=0.03)
    assert found.champion_p99_ms == pytest.approx(20, rel=0.03)
    # The champion is compared in the same step where it has computed enough in it, else since the canary began.
    for _ in range(3):
        add("1", "champion", age=10, ms=15)
    with engine.connect() as connection:
        few, enough = (figures_of_canary(connection, MODEL, replace(canary, min_images=least)) for least in (4, 3))
        found = figures_of_canary(connection, MODEL, canary)
    assert few.champion_p99_ms == pytest.approx(20, rel=0.03)
    assert enough.champion_p99_ms == pytest.approx(15, rel=0.03)
    sweep = CanaryFigures(redis_client, engine).sweep
    assert sweep() == 0
    canary_figures.ask_for(redis_client, MODEL, canary)
    assert sweep() == 1
    assert canary_figures.read_figures(redis_client, MODEL, canary) == found
    assert canary_figures.read_figures(redis_client, MODEL, replace(canary, step=1)) is None
