"""Orders to change what serves: gateways write them to Redis, workers that reach the registry carry them out.

An order is `model_order:<id>`, a hash; `model_orders` has the ids that are not answered, by when they expire. One
worker at a time has a model's turn. It first writes into the order what is to be done, then does it, then answers: one
that is killed at any line leaves an order that the next one carries out by the same plan. What nobody began in time is
refused.

Where the registry fails in the middle, what was begun stays begun: it is tried again until it is done, or its time of
five minutes is over. An answer that it failed would let the client order it again, and go one version further.
"""

import json
from datetime import timedelta
from typing import Any, Final

import orjson
import redis

from shared.domain.model_orders import ModelOrder
from shared.queue import keys
from shared.queue.server_clock import server_time_us

KEPT: Final = timedelta(minutes=5)
"""How long an order is kept in Redis, its answer too."""
SEEN: Final = timedelta(seconds=10)
"""A worker that took orders within this time counts as running."""
KEPT_SECONDS: Final = int(KEPT.total_seconds())


class OrderBook:
    """The orders as a worker takes them; raises what Redis raises."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def sign(self) -> None:
        """Give a sign of life: orders are taken."""
        self._client.set(keys.REGISTRY_WORKERS, b"1", ex=int(SEEN.total_seconds()))

    def wait(self, longest: timedelta) -> bool:
        """Return True when an order was placed, which wakes one worker, or False after `longest`."""
        return self._client.blpop([keys.MODEL_ORDERS_BELL], timeout=longest.total_seconds()) is not None

    def wake(self) -> None:
        """Wake another worker: this one was woken, and ends."""
        with self._client.pipeline() as pipeline:
            pipeline.rpush(keys.MODEL_ORDERS_BELL, b"")
            pipeline.expire(keys.MODEL_ORDERS_BELL, KEPT_SECONDS)
            pipeline.execute()

    def waiting(self) -> list[str]:
        """Return the ids of the orders that are not answered, those that expire first first."""
        found: Any = self._client.zrange(keys.MODEL_ORDERS, 0, -1)
        return [id.decode() for id in found]

    def read(self, id: str) -> ModelOrder | None:
        """Return an order; None where it is answered, or was forgotten, and then no longer waiting."""
        text, answer = self._fields(id, "order", "answer")
        if text is None or answer is not None:
            self._client.zrem(keys.MODEL_ORDERS, id)
            return None
        return ModelOrder(id=id, **orjson.loads(text))

    def is_late(self, id: str) -> bool:
        """Tell whether the time is over within which an order has to be begun: by Redis' clock, as it was written."""
        [expires] = self._fields(id, "expires")
        return server_time_us(self._client) > int(expires or 0)

    def plan(self, id: str) -> bytes | None:
        """Return what was begun for an order, None where nothing was."""
        return self._fields(id, "plan")[0]

    def begin(self, id: str, plan: str) -> bytes:
        """Write what is to be done for an order, unless it is written already; return what is."""
        key = keys.model_order(id)
        self._client.hsetnx(key, "plan", plan)
        self._client.expire(key, KEPT_SECONDS)
        return self.plan(id) or plan.encode()

    def answer(self, id: str, answer: dict[str, Any]) -> None:
        """Answer an order; the first answer counts."""
        key = keys.model_order(id)
        self._client.hsetnx(key, "answer", json.dumps(answer))
        self._client.expire(key, KEPT_SECONDS)
        self._client.zrem(keys.MODEL_ORDERS, id)

    def _fields(self, id: str, *names: str) -> list[bytes | None]:
        found: Any = self._client.hmget(keys.model_order(id), list(names))
        return list(found)
