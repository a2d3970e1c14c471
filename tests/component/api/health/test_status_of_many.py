"""The status and the live list beside 64 workers of 20 models: what they say, and what they cost Redis."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest
import redis
from PIL import Image
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from api.schemas import ServiceStatus, StatusHistory
from api.state import served_models
from api.state.postgres_pages import PIECE
from shared.domain.model_route import Route
from shared.domain.status.process_figures import ProcessFigures
from shared.domain.status.samples import COLUMNS, MOST
from shared.domain.timestamps import now_us
from shared.observability.metrics import GatewayMetrics, PredictMetrics
from shared.observability.process_figures import FigureReader
from shared.queue.inspection import duties, status_board
from shared.queue.lua import Scripts
from shared.queue.model_routes import publish
from shared.queue.producer import status
from tests.support.pictures import encoded
from tests.support.waiting import LIMIT

Serve = Callable[..., Any]
WORKERS: Final = 64
GATEWAYS: Final = 4
MODELS: Final = [f"model-{number}" for number in range(20)]
WINDOW: Final = 10.0
PER_WORKER: Final = {model: number + 1 for number, model in enumerate(MODELS)}
"""Images a second of each model that each worker computes; one in ten fails."""


class Clock:
    """Says what it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def read_after_a_window(registry: CollectorRegistry, count: Callable[[], None]) -> dict[str, Any]:
    """Return what a process publishes that counted this within ten seconds."""
    clock = Clock()
    reader = FigureReader(registry, monotonic=clock)
    reader.read()
    count()
    clock.now = WINDOW
    return reader.read()


def worker_figures() -> dict[str, Any]:
    registry = CollectorRegistry()
    metrics = PredictMetrics(registry)

    def count() -> None:
        for model, per_second in PER_WORKER.items():
            images = int(per_second * WINDOW)
            metrics.images.labels(model, "succeeded").inc(images * 0.9)
            metrics.images.labels(model, "model_error").inc(images * 0.1)
            metrics.batch_size.labels(model).observe(per_second)
            metrics.forward.labels(model).observe(0.02)
            metrics.queue.labels(model, "interactive").observe(0.04)

    return read_after_a_window(registry, count)


def gateway_figures() -> dict[str, Any]:
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)

    def count() -> None:
        for model in MODELS:
            metrics.submissions.labels(model, "queued").inc(70)
            metrics.submissions.labels(model, "cached").inc(30)

    return read_after_a_window(registry, count)


@pytest.fixture
def published(redis_client: redis.Redis) -> Scripts:
    """The figures of all, as they publish them, and the lanes by an upkeep worker."""
    scripts = Scripts(redis_client)
    queue = {
        "lanes": [
            {"model": model, "lane": lane, "entries": 5, "bytes": 500, "oldest_seconds": 1.0}
            for model in MODELS
            for lane in ("interactive", "bulk")
        ],
        "shadow_entries": {},
        "workers": dict.fromkeys(MODELS, WORKERS),
        "finished": 3,
        "recorder_lag_seconds": 0.5,
        "memory_used_bytes": 1_000_000,
        "memory_limit_bytes": 0,
        "bells": {},
    }
    working, serving = worker_figures(), gateway_figures()
    everyone = [("predict", f"w{n}", working, {}) for n in range(WORKERS)]
    everyone += [("api", f"g{n}", serving, {}) for n in range(GATEWAYS)]
    everyone += [("upkeep", "u", {"up_seconds": 1.0}, {"queue": queue})]
    for role, name, read, facts in everyone:
        figures = ProcessFigures(name=name, roles=(role,), host="h", pid=1, facts=facts, **read)
        call = status_board.publish_call(figures, samples=False)
        scripts.run(call.script, call.keys, *call.arguments)
    return scripts


@pytest.fixture
def commands(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
    """Return the numbers of commands that Redis carried out since the last call, those within scripts included."""
    # Else the more is counted the slower this machine is.
    monkeypatch.setattr(served_models, "PAUSE", timedelta(hours=1))

    def commands() -> dict[str, int]:
        stats = redis_client.info("commandstats")
        redis_client.config_resetstat()
        return {
            name.removeprefix("cmdstat_").partition("|")[0]: stat["calls"]
            for name, stat in stats.items()
            if not name.startswith(("cmdstat_config", "cmdstat_info", "cmdstat_client"))
        }

    return commands


@pytest.mark.usefixtures("published")
def test_the_status_of_64_workers_adds_them_up_and_asks_redis_a_bounded_number_of_commands(
    serve: Serve, engine: Engine, commands: Callable[[], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this machine is, all ask within the time for which one read is shared.
    monkeypatch.setattr(status, "SHARED_FOR", timedelta(hours=1))

    async def claim(client: httpx.AsyncClient) -> tuple[bytes, dict[str, int], dict[str, int]]:
        commands()
        [first, *more] = await asyncio.gather(*(client.get("/v1/status") for _ in range(10)))
        assert {one.status_code for one in (first, *more)} == {200}
        together = commands()
        await client.get("/v1/status")
        return first.content, together, commands()

    text, together, again = serve(claim, engine=engine)
    found = ServiceStatus.model_validate_json(text).model_dump()
    models = {model["model"]: model for model in found["models"]}
    assert models.keys() == set(MODELS)
    for model, per_second in PER_WORKER.items():
        one = models[model]
        assert one["workers"] == WORKERS
        assert one["images_per_second"] == pytest.approx(WORKERS * per_second, rel=0.01)
        assert one["failed_per_second"] == pytest.approx(WORKERS * per_second / 10, rel=0.01)
        assert one["batch_size"] == per_second
        assert one["interactive"]["entries"] == one["bulk"]["entries"] == 5
        # All 64 observations are in the bucket from 10 to 25 ms: the median is in its middle.
        assert one["forward_seconds"]["p50"] == pytest.approx(0.0175, rel=0.02)
    assert found["images_per_second"] == pytest.approx(WORKERS * sum(PER_WORKER.values()), rel=0.01)
    assert found["submissions"]["queued_per_second"] == pytest.approx(GATEWAYS * len(MODELS) * 7, rel=0.01)
    assert found["cache_share"] == 0.3
    workers = next(role["processes"] for role in found["roles"] if role["role"] == "predict")
    assert {one["name"] for one in workers} == {f"w{number}" for number in range(WORKERS)}
    assert all(one["images_per_second"] == sum(PER_WORKER.values()) for one in workers)
    assert all(one["busy"] == pytest.approx(0.04, rel=0.01) for one in workers)
    assert len(text) < 64 * 1024
    # One read for all who ask within a second: a GET a process, and one of the alerts.
    assert together["get"] <= WORKERS + GATEWAYS + 1 + 5
    assert sum(again.values()) <= 5
    assert "get" not in again


def test_an_hours_history_is_one_command_and_bounded(
    serve: Serve, published: Scripts, redis_client: redis.Redis, commands: Callable[[], dict[str, int]]
) -> None:
    read = status_board.read_call()
    board = status_board.parse_board(published.run(read.script, read.keys, *read.arguments))
    now = now_us() // 10_000_000 * 10_000
    call = status_board.sample_call(now, board, duties.read_duties(redis_client))
    for slot in range(now - 10_000 * (MOST + 40), now, 10_000):
        published.run(call.script, call.keys, f"{slot}-0", *call.arguments[1:])

    async def claim(client: httpx.AsyncClient) -> tuple[httpx.Response, dict[str, int]]:
        commands()
        return await client.get("/v1/status/history?minutes=60"), commands()

    answer, asked = serve(claim)
    StatusHistory.model_validate(answer.json())
    found = answer.json()
    assert {len(found[column]) for column in ("at", *COLUMNS)} == {len(found["at"])}
    assert MOST - 2 <= len(found["at"]) <= MOST
    assert set(found["workers"]) == {WORKERS}
    [images] = set(found["images_per_second"])
    assert images == pytest.approx(WORKERS * sum(PER_WORKER.values()), rel=0.01)
    assert len(answer.content) < 100 * 1024
    assert asked == {"xrange": 1}


@pytest.mark.usefixtures("published")
def test_the_live_list_costs_redis_the_same_however_many_wait(
    serve: Serve, engine: Engine, digits: Route, commands: Callable[[], dict[str, int]]
) -> None:
    async def claim(client: httpx.AsyncClient) -> list[tuple[int, dict[str, int]]]:
        found = []
        for first in (0, 150):
            images = [encoded(Image.new("L", (16, 16), n % 256), "PNG") + bytes([n // 256]) for n in range(first, 350)]
            headers = {"Content-Type": "image/png"}
            sent = [client.post("/v1/predictions?model=digits", content=one, headers=headers) for one in images]
            assert {answer.status_code for answer in await asyncio.gather(*sent)} == {202}
            commands()
            answer = await client.get("/v1/predictions?limit=50")
            found.append((len(answer.json()["results"]), commands()))
        return found

    [few, many] = serve(claim, engine=engine, routes=[digits])
    assert few[0] == many[0] == 50
    # A piece of jobs, the ids of those that have not ended or are not recorded.
    for _, asked in (few, many):
        assert asked["hmget"] == PIECE
        assert sum(asked.values()) <= PIECE + 12


@pytest.mark.parametrize(
    ("path", "answered"),
    [
        ("/v1/status", 200),
        ("/v1/status/history", 503),
        ("/v1/account", 200),
        ("/v1/models", 503),
        ("/v1/models/digits", 503),
        ("/v1/predictions?limit=50", 503),
        ("/v1/batches", 503),
    ],
)
def test_with_a_redis_that_hangs_an_answer_says_so_in_bounded_time(
    serve: Serve, start_redis: Callable[..., Any], digits: Route, engine: Engine, path: str, answered: int
) -> None:
    server = start_redis(appendfsync=None)
    with server.client() as client:
        publish(client, digits)

    async def claim(client: httpx.AsyncClient) -> httpx.Response:
        while (await client.get("/v1/models/digits")).status_code != 200:  # else Redis took a second to answer
            pass
        with server.hanging():
            async with asyncio.timeout(LIMIT):
                return await client.get(path)

    answer = serve(claim, engine=engine, redis_url=server.url, redis_timeout=timedelta(seconds=1))
    assert answer.status_code == answered, answer.text
    if answered != 200:
        assert (answer.json()["type"], answer.json()["store"]) == ("/problems/storage-unavailable", "redis")
    elif path == "/v1/account":
        assert answer.json()["used"] is None
    else:
        assert (answer.json()["state"], answer.json()["redis"]["state"]) == ("unavailable", "down")
        assert answer.json()["redis"]["detail"] == "no answer within 0.8 s"
