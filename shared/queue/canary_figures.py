"""Figures of running canaries in Redis: upkeep reads them from Postgres, workers that reach the registry need them.

They are kept for a short time, so that nobody judges by old ones.
"""

from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

import orjson
import redis

from shared.domain.canary import Canary, Figures
from shared.domain.identifiers import ModelName
from shared.queue import keys

KEPT: Final = timedelta(seconds=30)


def ask_for(client: redis.Redis, model: ModelName, canary: Canary) -> None:
    """Ask upkeep for the figures of a canary; it stops a while after nobody asks any more."""
    with client.pipeline() as pipeline:
        pipeline.hset(keys.CANARIES, model, canary.to_text())
        pipeline.pexpire(keys.CANARIES, KEPT)
        pipeline.execute()


def stop_asking(client: redis.Redis, model: ModelName) -> None:
    """Ask no more: the canary has ended."""
    client.hdel(keys.CANARIES, model)


def running(client: redis.Redis) -> dict[ModelName, Canary]:
    """Return the canaries whose figures are asked for."""
    asked: Any = client.hgetall(keys.CANARIES)
    return {ModelName(model.decode()): Canary.from_text(text.decode()) for model, text in asked.items()}


def write_figures(client: redis.Redis, model: ModelName, canary: Canary, figures: Figures) -> None:
    """Write the figures of a canary's present step."""
    client.set(keys.canary_figures(model), orjson.dumps({"of": _step(canary), **asdict(figures)}), px=KEPT)


def read_figures(client: redis.Redis, model: ModelName, canary: Canary) -> Figures | None:
    """Return the figures of a canary's present step; None where there are none, or only of an earlier step."""
    data: Any = client.get(keys.canary_figures(model))
    found = orjson.loads(data) if data else None
    if not isinstance(found, dict) or found.pop("of", None) != _step(canary):
        return None
    return Figures(**found)


def _step(canary: Canary) -> list[Any]:
    return [canary.version, canary.step, canary.began, canary.since]
