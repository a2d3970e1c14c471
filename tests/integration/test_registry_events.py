"""MLflow's webhooks as a hint: a real MLflow server calls a gateway, and a worker's watch reads the registry at once.

The poll is an hour: what is noticed was noticed by the hint.
"""

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import redis

from api.models.registry_events import PATH
from shared.queue import keys
from shared.queue.connection.clients import connect_async
from shared.queue.connection.pipeline import Pipeline
from shared.queue.producer.registry_hints import RegistryHints as GatewaysHints
from shared.queue.registry_hints import CHANGED, READ, RegistryHints
from shared.settings import Redis as RedisSettings
from shared.settings import Registry
from tests.support.gateways import Gateway
from tests.support.ports import free_port
from tests.support.program_forks import ROOT, Program, start
from tests.support.servers import RedisServer
from tests.support.waiting import until
from worker.models.registry.registry_snapshot import NotRegistered
from worker.models.registry.registry_watch import NotRead, RegistryWatch
from worker.models.registry.shared_registry import SharedRegistry

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore

SHARED = "a secret"
HOUR = timedelta(hours=1)


@pytest.fixture
def gateway(redis_server: RedisServer, database_url: str, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that asks for keys, and takes events of this secret's owner."""
    environment = {
        "DARKROOM_REDIS_URL": redis_server.url, "DARKROOM_DATABASE_URL": database_url,
        "DARKROOM_AUTH_REQUIRED": "true", "DARKROOM_REGISTRY_EVENTS_SECRET": SHARED,
    }  # fmt: skip
    folder = tmp_path / "gateway"
    folder.mkdir()
    gateway = Gateway(folder, environment)
    yield gateway
    gateway.end()


@pytest.fixture
def mlflow_server(mlflow_store: "MlflowStore", tmp_path: Path) -> Iterator[str]:
    """MLflow's own server on the test's registry, which may call loopback over HTTP."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = dict(os.environ) | {
        "_MLFLOW_SERVER_FILE_STORE": mlflow_store.url, "_MLFLOW_SERVER_ARTIFACT_ROOT": str(tmp_path / "artifacts"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    }  # fmt: skip
    application = ("--factory", "mlflow.server.fastapi_app:create_fastapi_app")
    arguments = (*application, "--port", str(port), "--log-level", "warning")
    with (tmp_path / "mlflow.log").open("wb") as log:
        process = start(Program("uvicorn", arguments, environment, ROOT), log=log.fileno())

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(lambda: answers() or process.poll() is not None, seconds=180, what="MLflow answers")
        assert process.poll() is None, (tmp_path / "mlflow.log").read_text()
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def watch(redis_server: RedisServer, mlflow_store: "MlflowStore") -> Iterator[RegistryWatch]:
    with redis_server.client() as client:
        watch = RegistryWatch(
            None, client=client, settings=Registry(url=mlflow_store.url, poll=HOUR), on_read=lambda _: None
        )
        yield watch
        watch.stop()


def champion(watch: RegistryWatch) -> str:
    try:
        return str(watch.snapshot("m").aliases.get("champion", ""))  # type: ignore[arg-type]
    except (NotRead, NotRegistered):
        return ""


def test_a_promotion_in_mlflow_is_read_at_once(
    gateway: Gateway, mlflow_server: str, mlflow_store: "MlflowStore", watch: RegistryWatch
) -> None:
    from mlflow import MlflowClient  # noqa: PLC0415  takes seconds

    for _ in range(2):
        mlflow_store.register(model="m")  # type: ignore[arg-type]
    mlflow_store.promote("champion", "1", model="m")  # type: ignore[arg-type]
    watch.start()
    until(lambda: champion(watch) == "1", what="the first champion")
    client = MlflowClient(mlflow_server, mlflow_server)
    events = ["model_version_alias.created", "model_version_alias.deleted"]
    client.create_webhook("darkroom", gateway.url + PATH, events, secret=SHARED)  # type: ignore[arg-type]
    client.set_registered_model_alias("m", "champion", "2")
    until(lambda: champion(watch) == "2", what="the promotion")
    client.delete_registered_model_alias("m", "champion")
    until(lambda: champion(watch) == "", what="the end of the alias")


def test_an_event_that_the_secret_did_not_sign_is_refused_and_wakes_nobody(
    gateway: Gateway, redis_client: redis.Redis
) -> None:
    with gateway.client() as client:
        for headers in ({}, {"X-MLflow-Signature": "v1,AAAA", "X-MLflow-Timestamp": "1", "X-MLflow-Delivery-Id": "1"}):
            answer = client.post(PATH, json={"entity": "model_version_alias"}, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")
        assert client.post(PATH, content=bytes(70_000)).status_code == 413
        assert client.get(PATH).status_code == 405
    assert not redis_client.exists(keys.REGISTRY_HINTS)


def test_a_change_wakes_every_watch_and_one_of_them_asks(
    redis_server: RedisServer, redis_client: redis.Redis, mlflow_store: "MlflowStore"
) -> None:
    mlflow_store.register(model="m")  # type: ignore[arg-type]
    settings = Registry(url=mlflow_store.url, poll=HOUR)
    reads = [0, 0]

    def reading(number: int) -> None:
        reads[number] += 1

    clients = [redis_server.client() for _ in reads]
    watches = [
        RegistryWatch(None, client=client, settings=settings, on_read=lambda _, number=number: reading(number))  # type: ignore[misc]
        for number, client in enumerate(clients)
    ]
    try:
        for watch in watches:
            watch.start()
        until(lambda: all(reads), what="both have read")
        mlflow_store.promote("champion", "1", model="m")  # type: ignore[arg-type]
        RegistryHints(redis_client).give(CHANGED)
        until(lambda: all(champion(watch) == "1" for watch in watches), what="both have the champion")
    finally:
        for watch in watches:
            watch.stop()
        for client in clients:
            client.close()


def test_many_events_at_once_are_two_hints(redis_server: RedisServer, redis_client: redis.Redis) -> None:
    """The first is given at once, the last change is told by the second."""

    async def give_five() -> None:
        settings = RedisSettings(url=redis_server.url)
        client = connect_async(settings)
        pipeline = Pipeline(client, timeout=settings.timeout)
        hints = GatewaysHints(pipeline)
        await asyncio.gather(*(hints.give() for _ in range(5)))
        await pipeline.close()
        await client.aclose()

    asyncio.run(give_five())
    assert redis_client.xlen(keys.REGISTRY_HINTS) == 2


def test_a_watch_keeps_to_its_pause_where_redis_tells_an_old_change(redis_client: redis.Redis) -> None:
    hints = RegistryHints(redis_client)
    hints.wait(timedelta(0))  # nothing there, and not for ever
    assert hints.changed_at == 0
    for kind in (CHANGED, READ):
        RegistryHints(redis_client).give(kind)
    hints.wait(HOUR)
    seconds, micros = redis_client.time()  # type: ignore[misc]
    assert 0 < hints.changed_at <= (seconds + 1) * 1_000_000 + micros


def test_what_is_newer_than_a_poll_is_held_until_a_change_is_told(
    mlflow_store: "MlflowStore", redis_client: redis.Redis
) -> None:
    """Another worker's answer is not even looked for: it would have told of it."""
    mlflow_store.register(model="m")  # type: ignore[arg-type]
    shared = SharedRegistry(redis_client, settings=Registry(url=mlflow_store.url, poll=HOUR), names=None)
    held = shared.read()
    redis_client.flushall()
    assert shared.read(is_told=False) is held
    assert redis_client.keys() == []
    shared.read(is_told=True)
    assert redis_client.keys() != []
