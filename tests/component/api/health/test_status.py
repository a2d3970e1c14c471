"""The status by HTTP: with processes that publish, without Redis, without Postgres."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import Engine

from api.schemas import ServiceStatus, StatusHistory
from shared.domain.status.process_figures import ProcessFigures
from shared.domain.status.samples import COLUMNS
from shared.domain.timestamps import now_us
from shared.queue import keys
from shared.queue.inspection import duties, status_board
from shared.queue.lua import Scripts
from tests.support.postgres_engines import read_only

Serve = Callable[..., Any]
NOWHERE = "redis://127.0.0.1:1/0"


def publish(client: redis.Redis, *published: ProcessFigures) -> None:
    for one in published:
        call = status_board.publish_call(one, samples=False)
        Scripts(client).run(call.script, call.keys, *call.arguments)


def figures(name: str, *roles: str) -> ProcessFigures:
    return ProcessFigures(name=name, roles=roles, host="h", pid=1, up_seconds=3.0)


def status(serve: Serve, **options: Any) -> dict[str, Any]:
    async def claim(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get("/v1/status")

    answer: httpx.Response = serve(claim, **options)
    assert answer.status_code == 200, answer.text
    ServiceStatus.model_validate(answer.json())
    found: dict[str, Any] = answer.json()
    return found


def test_the_status_shows_every_process_that_publishes(
    serve: Serve, redis_client: redis.Redis, nowhere: Engine
) -> None:
    publish(redis_client, figures("g1", "api"), figures("g2", "api"), figures("w", "record", "upkeep"))
    found = status(serve, engine=nowhere)
    by_role = {role["role"]: [process["name"] for process in role["processes"]] for role in found["roles"]}
    assert by_role == {"api": ["g1", "g2"], "predict": [], "record": ["w"], "webhooks": [], "upkeep": ["w"]}
    assert found["redis"]["state"] == "ready"
    assert found["redis"]["memory_bytes"] > 0
    assert found["postgres"]["state"] == "down"
    assert found["postgres"]["detail"] == "OperationalError"
    assert found["state"] == "degraded"
    assert {"what": "queue", "why": "no upkeep worker publishes it"} in found["unknown"]
    webhooks = next(alert for alert in found["alerts"] if alert["name"] == "WebhookWorkerDown")
    assert (webhooks["state"], webhooks["since"]) == ("pending", None)
    assert "docker compose ps webhooks" in webhooks["what_to_do"]


def test_without_redis_the_status_says_what_is_unknown(serve: Serve, nowhere: Engine) -> None:
    found = status(serve, engine=nowhere, redis_url=NOWHERE, redis_timeout=timedelta(seconds=1))
    assert found["state"] == "unavailable"
    assert found["redis"]["state"] == "down"
    assert {role["state"] for role in found["roles"]} == {"unknown"}
    assert found["unknown"] == [{"what": "everything that processes publish", "why": "Redis does not answer"}]
    assert found["models"] == found["alerts"] == []


@pytest.mark.parametrize(("query", "samples"), [("?minutes=30", 1), ("?minutes=60", 3)])
def test_history_is_as_long_as_it_is_asked_for(
    serve: Serve, redis_client: redis.Redis, query: str, samples: int
) -> None:
    scripts, now = Scripts(redis_client), now_us() // 1000
    board = status_board.parse_board([now * 1000, None, []])
    for at in (now - 3_000_000, now - 60_000):
        call = status_board.sample_call(at, board, duties.read_duties(redis_client))
        scripts.run(call.script, call.keys, *call.arguments)

    async def claim(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get(f"/v1/status/history{query}")

    answer = serve(claim)
    # Between samples far apart one without values stands for the gap.
    StatusHistory.model_validate(answer.json())
    assert {len(answer.json()[column]) for column in ("at", *COLUMNS)} == {samples}
    assert redis_client.exists(keys.STATUS_SAMPLES)


def test_history_goes_back_an_hour_at_most(serve: Serve) -> None:
    async def claim(client: httpx.AsyncClient) -> list[int]:
        queries = ("minutes=61", "minutes=0", "hours=1")
        return [(await client.get(f"/v1/status/history?{query}")).status_code for query in queries]

    assert serve(claim) == [422, 422, 422]


@pytest.mark.usefixtures("redis_client")
def test_a_postgres_that_takes_no_writes_is_told(serve: Serve, engine: Engine) -> None:
    with read_only(engine):
        found = status(serve, engine=engine)
    assert (found["postgres"]["state"], found["state"]) == ("refusing", "degraded")
    assert found["postgres"]["detail"].startswith("it takes no writes")
