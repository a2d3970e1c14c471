"""A worker publishes its figures from a thread, whatever Redis does, and is forgotten when it stops."""

import json
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry

from shared.queue import keys
from shared.queue.connection.clients import connect_briefly
from shared.settings import Redis
from worker.process.figures import PublishedFigures


def published(client: redis.Redis, *roles: str) -> PublishedFigures:
    figures = PublishedFigures(CollectorRegistry(), client, name="w-1")
    for role in roles:
        figures.add_role(role)
    return figures


def read(client: redis.Redis) -> Any:
    return json.loads(client.get(keys.figures("w-1")) or b"{}")


def test_roles_and_facts_are_published_and_a_fact_that_fails_is_left_out(redis_client: redis.Redis) -> None:
    figures = published(redis_client, "record", "upkeep")
    figures.add_fact("answer", lambda: 42)
    figures.add_fact("device", lambda: 1 / 0)
    figures.publish()
    assert read(redis_client)["roles"] == ["record", "upkeep"]
    assert read(redis_client)["facts"] == {"answer": 42}
    assert read(redis_client)["memory_bytes"] > 0


@pytest.mark.parametrize(("roles", "samples"), [(("predict",), 0), (("record",), 1)])
def test_workers_that_predict_keep_no_samples(redis_client: redis.Redis, roles: tuple[str, ...], samples: int) -> None:
    published(redis_client, *roles).publish()
    assert redis_client.xlen(keys.STATUS_SAMPLES) == samples


def test_a_worker_that_stops_is_forgotten_at_once(redis_client: redis.Redis) -> None:
    figures = published(redis_client, "record")
    figures.start()
    figures.publish()
    figures.stop()
    assert read(redis_client) == {}
    assert redis_client.zcard(keys.FIGURES) == 0


def test_a_redis_that_is_away_ends_nothing_and_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    client = connect_briefly(Redis(url="redis://127.0.0.1:1/0"))
    figures = published(client, "record")
    figures._publish_quietly()
    figures.start()
    figures.stop()
    assert caplog.records == []
