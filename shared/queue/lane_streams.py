"""Which lanes a model has at the moment."""

from typing import Any

import redis

from shared.domain.identifiers import ModelName
from shared.queue import keys


def streams(client: redis.Redis, model: ModelName) -> list[str]:
    """Return the streams of a model's lanes: the interactive one, then the bulk ones in rotation."""
    bulk: list[Any] = client.lrange(keys.rotation(model), 0, -1)
    return [keys.lane(model, keys.INTERACTIVE), *(lane.decode() for lane in bulk)]
