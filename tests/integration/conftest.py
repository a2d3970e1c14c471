"""The simulation's length, a queue system, registries, gateways, workers and a pipeline for several tests."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import redis
from PIL import Image
from sqlalchemy import Engine

from shared.queue import keys
from shared.queue.connection.clients import connect_async
from shared.queue.connection.pipeline import Pipeline
from shared.queue.consumer.lanes import Lanes
from shared.queue.model_routes import publish
from shared.settings import Queue, Redis
from tests.support.gateways import DIGITS, Gateway, Start
from tests.support.leases import LEASE
from tests.support.queue_system import MODEL, System
from tests.support.servers import RedisServer
from tests.support.waiting import PATIENCE
from tests.support.workers import Worker

T = TypeVar("T")

if TYPE_CHECKING:
    from tests.support.followers import Followers
    from tests.support.order_stage import OrderStage
    from tests.support.registries import MlflowStore


@pytest.fixture
def simulation_seconds(request: pytest.FixtureRequest) -> float:
    seconds: float = request.config.getoption("--simulation-seconds")
    return seconds


@pytest.fixture
def system(redis_client: redis.Redis, redis_server: RedisServer, engine: Engine, database_url: str) -> System:
    return System(redis_client, engine, database_url, redis_server.url)


@pytest.fixture
def other(redis_client: redis.Redis) -> Lanes:
    """The lanes of another worker, whose lease for the first worker is short."""
    return Lanes(redis_client, model=MODEL, consumer="other", settings=Queue(lease=LEASE, max_attempts=3))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database."""
    from tests.support.registries import empty_registry  # noqa: PLC0415  imports MLflow and torch

    return empty_registry(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def mlflow_store(tmp_path: Path, template: Path) -> "MlflowStore":
    """An MLflow registry for this test alone."""
    from tests.support.registries import MlflowStore  # noqa: PLC0415

    return MlflowStore(tmp_path, template)


@pytest.fixture
def stage(mlflow_store: "MlflowStore", redis_client: redis.Redis) -> "OrderStage":
    """A registered model, and a worker that carries orders out."""
    from tests.support.order_stage import OrderStage  # noqa: PLC0415

    return OrderStage(mlflow_store, redis_client)


@pytest.fixture
def followers(mlflow_store: "MlflowStore", redis_client: redis.Redis) -> Iterator["Followers"]:
    """Makes followers of this registry's models, which are stopped after the test."""
    from tests.support.followers import making_followers  # noqa: PLC0415

    with making_followers(redis_client, mlflow_store.url) as followers:
        yield followers


@pytest.fixture
def start(redis_server: RedisServer, database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Start a gateway that asks for keys or does not."""
    started: list[Gateway] = []

    def begin(required: bool, *, descriptors: int | None = None) -> Gateway:  # noqa: FBT001
        environment = {
            "DARKROOM_REDIS_URL": redis_server.url, "DARKROOM_DATABASE_URL": database_url,
            "DARKROOM_AUTH_REQUIRED": str(required), "DARKROOM_AUTH_REFRESH": "0.5",
        }  # fmt: skip
        with redis_server.client() as client:
            publish(client, DIGITS)
            client.zadd(keys.workers(DIGITS.model), {"1": 1e17})
        started.append(Gateway(tmp_path, environment, descriptors=descriptors))
        return started[-1]

    yield begin
    for gateway in started:
        gateway.end()


@pytest.fixture
def scan() -> bytes:
    """A small image."""
    written = io.BytesIO()
    Image.new("L", (8, 8), 200).save(written, "PNG")
    return written.getvalue()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Begin workers; `begin("webhooks", redis_url=…)`, keywords are settings. They are killed after the test."""
    begun: list[Worker] = []

    def start(queues: str, **settings: str) -> Worker:
        environment = {f"DARKROOM_{name.upper()}": value for name, value in settings.items()}
        begun.append(Worker(queues, directory=tmp_path, environment=environment))
        return begun[-1]

    yield start
    for worker in begun:
        worker.end()


@pytest.fixture
def piped(redis_server: RedisServer, redis_client: Any) -> Callable[[Callable[[Pipeline], Awaitable[T]]], T]:
    """Run a claim with a pipeline to the test's Redis, which is empty."""
    assert not redis_client.dbsize()

    def run(claim: Callable[[Pipeline], Awaitable[T]]) -> T:
        async def within() -> T:
            client = connect_async(Redis(url=redis_server.url))
            pipeline = Pipeline(client, timeout=PATIENCE)
            try:
                return await claim(pipeline)
            finally:
                await pipeline.close()
                await client.aclose()

        return asyncio.run(within())

    return run
