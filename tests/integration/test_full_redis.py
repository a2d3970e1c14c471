"""A Redis that is out of memory: what it can't take is answered so, and whatever keeps things going goes on."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis

from shared.domain.errors import NoRegistryWorker, StorageUnavailable
from shared.domain.identifiers import ANYONE, BatchId, KeyId, ModelName, PredictionId, new_uuid7
from shared.domain.key_limits import Limits
from shared.domain.model_orders import new_order
from shared.queue import keys
from shared.queue.connection.pipeline import Pipeline
from shared.queue.model_orders import OrderBook
from shared.queue.producer.batches import Batches, Opening
from shared.queue.producer.jobs import Jobs
from shared.queue.producer.key_limits import KeyLimits
from shared.queue.producer.model_orders import ModelOrders

Piped = Callable[[Callable[[Pipeline], Any]], Any]
MODEL = ModelName("digits")


def opening() -> Opening:
    return Opening(id=BatchId(new_uuid7()), owner=ANYONE, model=MODEL, metadata={}, base_url="")


CALLS: dict[str, Callable[[Pipeline], Any]] = {
    "an upload or the retry of a batch": lambda it: Batches(it).open(opening()),
    "an order": lambda it: ModelOrders(it).place(
        new_order(MODEL, "promote", {}, owner=ANYONE), patience=timedelta(seconds=20)
    ),
    "a rate": lambda it: KeyLimits(it).take_one(Limits(key=KeyId(new_uuid7()), rate=1.0)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_it_can_not_take_is_unavailable_and_said_why(
    piped: Piped, redis_client: redis.Redis, call: Callable[[Pipeline], Any]
) -> None:
    OrderBook(redis_client).sign()

    async def claim(pipeline: Pipeline) -> None:
        redis_client.config_set("maxmemory", 1)
        with pytest.raises(StorageUnavailable) as refused:
            await call(pipeline)
        assert (refused.value.reason, refused.value.certain) == ("is out of memory (OOM)", True)

    try:
        piped(claim)
    finally:
        redis_client.config_set("maxmemory", 0)


def test_an_upload_that_waits_gives_signs_of_life_and_what_is_canceled_ends(
    piped: Piped, redis_client: redis.Redis
) -> None:
    upload = opening()

    async def claim(pipeline: Pipeline) -> None:
        batches = Batches(pipeline)
        await batches.open(upload)
        redis_client.zadd(keys.UPLOADS, {upload.id: 1})
        redis_client.config_set("maxmemory", 1)
        assert await batches.tend(upload.id)
        assert float(redis_client.zscore(keys.UPLOADS, upload.id) or 0) > 1
        await Jobs(pipeline).cancel(PredictionId(new_uuid7()), ANYONE)
        await batches.cancel(upload.id, mode="user")

    try:
        piped(claim)
    finally:
        redis_client.config_set("maxmemory", 0)


def test_without_a_worker_no_order_is_placed(piped: Piped, redis_client: redis.Redis) -> None:
    async def claim(pipeline: Pipeline) -> None:
        with pytest.raises(NoRegistryWorker):
            await CALLS["an order"](pipeline)

    piped(claim)
    assert not redis_client.exists(keys.MODEL_ORDERS, keys.MODEL_ORDERS_BELL)
