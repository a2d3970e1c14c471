"""Health: redis down is down, everything else degrades."""

import re
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import Engine

from api.schemas import Alive, Readiness
from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_route import Route
from shared.domain.timestamps import now_us
from shared.queue import keys
from shared.queue.inspection.duties import ROLES, Sign
from tests.support.postgres_engines import read_only

Serve = Callable[..., Any]
DIGITS = Route(model=ModelName("digits"), description="", aliases={}, versions={})


def get(serve: Serve, path: str = "/health/ready", **rest: Any) -> httpx.Response:
    async def claim(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get(path)

    response: httpx.Response = serve(claim, **rest)
    return response


def ready(serve: Serve, **rest: Any) -> tuple[int, dict[str, Any]]:
    response = get(serve, **rest)
    body: dict[str, Any] = response.json()
    Readiness.model_validate(body)
    return response.status_code, body


def said(answer: tuple[int, dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    """Return the answer without its limits."""
    status, body = answer
    return status, {name: body[name] for name in ("status", "down", "degraded")}


@pytest.fixture(autouse=True)
def _everybody_works(redis_client: "redis.Redis") -> None:
    for role in ROLES:
        Sign(redis_client, role, name="w").give()


def silent_since(client: "redis.Redis", role: str, seconds: int) -> None:
    now, _ = client.time()
    client.zadd(keys.signs(role), {"w": (now - seconds) * 1e6})


def test_live_is_ok_while_the_process_answers(serve: Serve) -> None:
    response = get(serve, "/health/live")
    assert response.status_code == 200
    Alive.model_validate(response.json())


def test_ready_is_ok_with_stores_and_a_worker(serve: Serve, engine: Engine, redis_client: "redis.Redis") -> None:
    redis_client.zadd(keys.workers(DIGITS.model), {"host-1": now_us()})
    found = ready(serve, engine=engine, routes=[DIGITS])
    assert said(found) == (200, {"status": "ready", "down": [], "degraded": []})


def test_a_model_without_a_worker_degrades(serve: Serve, engine: Engine) -> None:
    status, body = ready(serve, engine=engine, routes=[DIGITS])
    assert (status, body["status"]) == (200, "degraded")
    assert body["degraded"] == ["workers: none for digits, its images wait"]


def test_no_model_degrades(serve: Serve, engine: Engine) -> None:
    status, body = ready(serve, engine=engine)
    assert (status, body["degraded"]) == (200, ["models: none is served"])


def test_a_model_that_never_loaded_degrades_and_is_not_among_the_served(
    serve: Serve, engine: Engine, redis_client: "redis.Redis"
) -> None:
    redis_client.zadd(keys.workers(DIGITS.model), {"host-1": now_us()})
    broken = Route(
        model=ModelName("bad"), description="", aliases={}, versions={}, failed={VersionNumber("7"): "OSError: none"}
    )
    _, body = ready(serve, engine=engine, routes=[DIGITS, broken])
    assert body["degraded"] == ["model bad: version 7 can't be loaded: OSError: none"]
    listed = get(serve, "/v1/models", engine=engine, routes=[DIGITS, broken]).json()["results"]
    assert [model["name"] for model in listed] == ["digits"]
    shown = get(serve, "/v1/models/bad", engine=engine, routes=[DIGITS, broken]).json()
    assert shown["failed_versions"] == [{"version": "7", "error": "OSError: none"}]


def test_a_role_without_a_worker_degrades_and_is_named(
    serve: Serve, engine: Engine, redis_client: "redis.Redis"
) -> None:
    redis_client.zadd(keys.workers(DIGITS.model), {"host-1": now_us()})
    silent_since(redis_client, "webhooks", 40)
    redis_client.delete(keys.signs("upkeep"))
    redis_client.xadd(keys.FINISHED, {"id": "a"}, id="1-0")
    redis_client.lpush(keys.RECORD_QUEUE, *(["bell"] * 31))
    status, body = ready(serve, engine=engine, routes=[DIGITS])
    assert (status, body["status"]) == (200, "degraded")
    assert {one["role"]: one["state"] for one in body["roles"]} == {
        "record": "late", "webhooks": "missing", "upkeep": "missing",
    }  # fmt: skip
    record, webhooks, upkeep = body["degraded"]
    assert re.fullmatch(r"record: results have waited to be recorded for \d+ s; 31 of its Celery tasks wait", record)
    assert re.fullmatch(r"webhooks: no worker has checked for webhooks to deliver for 4\d s", webhooks)
    assert upkeep == "upkeep: no worker has ever swept (deadlines, files, lost bells)"


@pytest.mark.usefixtures("redis_client")
def test_a_postgres_that_takes_no_writes_degrades(serve: Serve, engine: Engine) -> None:
    with read_only(engine):
        status, body = ready(serve, engine=engine, routes=[DIGITS])
    assert (status, body["status"]) == (200, "degraded")
    assert body["degraded"][0] == "postgres: it takes no writes, results are recorded later"


def test_postgres_down_degrades(serve: Serve, nowhere: Engine, redis_client: "redis.Redis") -> None:
    redis_client.zadd(keys.workers(DIGITS.model), {"host-1": now_us()})
    status, body = ready(serve, engine=nowhere, routes=[DIGITS])
    assert (status, body["status"]) == (200, "degraded")
    assert body["degraded"][0].startswith("postgres")


def test_redis_down_is_down(serve: Serve, engine: Engine) -> None:
    found = ready(serve, engine=engine, redis_url="redis://127.0.0.1:1/0", redis_timeout=timedelta(seconds=1))
    assert said(found) == (503, {"status": "unavailable", "down": ["redis"], "degraded": []})
    assert found[1]["used"] is None


def test_health_shows_limits_and_their_use(serve: Serve, engine: Engine, redis_client: "redis.Redis") -> None:
    lanes = [keys.lane(DIGITS.model, lane) for lane in (keys.INTERACTIVE, keys.bulk_lane("a"), keys.bulk_lane("b"))]
    redis_client.rpush(keys.rotation(DIGITS.model), *lanes[1:])
    for lane, depth in zip(lanes, (2, 5, 1), strict=True):
        for _ in range(depth):
            redis_client.xadd(lane, {"image": "x"})
    _, body = ready(serve, engine=engine, routes=[DIGITS], max_image_bytes=1234)
    assert body["limits"]["image_bytes"] == 1234
    assert body["limits"]["lane_depth"] == 250_000
    assert body["limits"]["wire"] is None  # nothing serves this app
    depths = {"digits": 5}
    assert body["used"] == {"bytes_in_hand": 0, "memory_bytes": 7, "memory_limit_bytes": None, "lane_depths": depths}


def test_a_hanging_redis_is_down(serve: Serve, engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"
        status, body = ready(serve, engine=engine, redis_url=url, redis_timeout=timedelta(seconds=1))
    assert (status, body["down"], body["used"]) == (503, ["redis"], None)
