"""Orders to change what serves, as a gateway places them and reads their answers."""

from datetime import timedelta
from typing import Any

import orjson

from shared.domain.errors import ChangeRefused, ChangeUnanswered, NoRegistryWorker, StorageUnavailable, UnknownModel
from shared.domain.model_orders import ModelOrder
from shared.queue import keys
from shared.queue.connection.pipeline import Pipeline
from shared.queue.lua import Script
from shared.queue.model_orders import KEPT_SECONDS, SEEN


class ModelOrders:
    """Orders through the gateway's pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._redis = pipeline

    async def place(self, order: ModelOrder, *, patience: timedelta) -> None:
        """Write an order that has to be begun within `patience`, and wake a worker.

        Raises NoRegistryWorker where none runs, StorageUnavailable. Safe twice.
        """
        text = orjson.dumps(
            {"model": order.model, "change": order.change, "arguments": order.arguments, "owner": order.owner}
        )
        names = (keys.REGISTRY_WORKERS, keys.model_order(order.id), keys.MODEL_ORDERS, keys.MODEL_ORDERS_BELL)
        lengths = (patience // timedelta(microseconds=1), KEPT_SECONDS, int(SEEN.total_seconds()))
        if not await self._redis.evaluate(Script.PLACE_ORDER, names, order.id, text, *lengths):
            raise NoRegistryWorker(retry_after=timedelta(seconds=5))

    async def read_answer(self, order: ModelOrder, *, waited: timedelta) -> dict[str, Any] | None:
        """Return what became of an order, None while that is open.

        Raises UnknownModel, ChangeRefused where it can't be, ChangeUnanswered where nobody began it in time (`waited`),
        and StorageUnavailable where the registry does not answer.
        """
        data = await self._redis.call("HGET", keys.model_order(order.id), "answer")
        if not data:
            return None
        answer: dict[str, Any] = orjson.loads(data)
        if "unknown" in answer:
            raise UnknownModel(reference=order.model, reason="nothing is registered under this name")
        if "refused" in answer:
            raise ChangeRefused(**answer["refused"])
        if "late" in answer:
            raise ChangeUnanswered(id=order.id, waited_seconds=waited.total_seconds())
        if "failed" in answer:
            reason = f"can't be asked: {answer['failed']}"
            raise StorageUnavailable(store="the registry", retry_after=timedelta(seconds=5), reason=reason)
        return answer
