"""A gateway publishes its figures, and again once a Redis that was away is back."""

import asyncio
import json
from typing import Any

import redis
from prometheus_client import CollectorRegistry

from api.state.published_figures import PublishedFigures
from shared.observability.metrics import GatewayMetrics
from shared.queue import keys
from shared.queue.producer.producer import connect_producer
from shared.settings import Redis


def test_a_gateway_publishes_at_once_and_keeps_a_sample(redis_server: Any, redis_client: redis.Redis) -> None:
    metrics = GatewayMetrics(CollectorRegistry())
    metrics.in_progress.set(3)

    async def publish() -> None:
        async with connect_producer(Redis(url=redis_server.url)) as producer:
            published = PublishedFigures(metrics.registry, producer.status)
            await published._refresher.once_more()
            await published.close()

    asyncio.run(publish())
    (name,) = redis_client.zrange(keys.FIGURES, 0, -1)
    figures = json.loads(redis_client.get(keys.figures(name.decode())) or b"")
    assert figures["roles"] == ["api"]
    assert figures["values"]["darkroom_http_requests_in_progress"] == {"": 3.0}
    assert redis_client.xlen(keys.STATUS_SAMPLES) == 1
