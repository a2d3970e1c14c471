"""How long the protocol simulation plays (24 s with the others, longer when asked), and a system to audit."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from sqlalchemy import Engine

from shared.queue.lanes import Lanes
from shared.settings import Queue
from tests.servers import RedisServer
from tests.system import LEASE, MODEL, System

if TYPE_CHECKING:
    from tests.registries import Shop


@pytest.fixture
def simulation_seconds(request: pytest.FixtureRequest) -> float:
    seconds: float = request.config.getoption("--simulation-seconds")
    return seconds


@pytest.fixture
def system(redis_client: redis.Redis, redis_server: RedisServer, engine: Engine, database_url: str) -> System:
    return System(redis_client, engine, database_url, redis_server.url)


@pytest.fixture
def other(redis_client: redis.Redis) -> Lanes:
    """The lanes as another worker sees them, which takes the first one for dead soon."""
    return Lanes(redis_client, model=MODEL, consumer="other", settings=Queue(lease=LEASE, max_attempts=3))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database."""
    from tests.registries import empty_registry  # noqa: PLC0415  imports MLflow and torch

    return empty_registry(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def shop(tmp_path: Path, template: Path) -> "Shop":
    """A registry of one's own."""
    from tests.registries import Shop  # noqa: PLC0415

    return Shop(tmp_path, template)
