"""Which lanes a model has at the moment."""

from typing import Any

import redis

from shared.domain.identifiers import ModelName
from shared.queue import keys


def streams(client: redis.Redis, model: ModelName) -> list[str]:
    """Return the lanes a model has now: interactive first, then bulk in the order of their turns."""
    bulk: list[Any] = client.lrange(keys.rotation(model), 0, -1)
    return [keys.lane(model, keys.INTERACTIVE), *(lane.decode() for lane in bulk)]
