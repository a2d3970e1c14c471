"""When a predict worker counts as ready: on a real Redis, and a registry that answers as MLflow does."""

import os
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import redis

from cli.stack.probes import is_unregistered, models_serve
from shared.domain.identifiers import ModelName
from shared.queue import keys
from tests.support.servers import RedisServer

PETS = ModelName("pets & more")


class Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked = "/api/2.0/mlflow/registered-models/get?name="
        allowed = self.headers["Authorization"] == "Basic x"
        self.send_response(200 if self.path == f"{asked}digits" else 404 if allowed else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    """The address of a registry that has `digits` alone."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_worker_is_ready_once_it_serves_what_it_is_to_serve_and_what_is_missing_is_not_waited_for(
    redis_server: RedisServer, redis_client: redis.Redis
) -> None:
    def probe(*, missing: bool) -> str:
        return models_serve(os.getpid(), models=[PETS], redis_url=redis_server.url, is_missing=lambda _: missing)

    assert probe(missing=False) == "pets & more is not loaded"
    assert probe(missing=True) == ""
    # Also where a version failed to load: the worker follows its model and has nothing more to wait for.
    redis_client.zadd(keys.workers(PETS), {f"{socket.gethostname()}-{os.getpid()}": 1})
    assert probe(missing=False) == ""


def test_a_retired_model_is_not_waited_for(redis_server: RedisServer, redis_client: redis.Redis) -> None:
    redis_client.sadd(keys.RETIRED, PETS)
    assert models_serve(os.getpid(), models=[PETS], redis_url=redis_server.url) == ""


def test_a_registry_is_asked_whether_it_has_a_model(registry: str) -> None:
    def missing(model: str, *, url: str = registry, authorization: str = "Basic x") -> bool:
        return is_unregistered(model, registry_url=url, authorization=authorization)

    assert missing(PETS)
    assert not missing("digits")
    assert not missing(PETS, authorization="")
    assert not missing(PETS, url="http://127.0.0.1:9")
    assert not missing(PETS, url="sqlite:///mlflow.db")
