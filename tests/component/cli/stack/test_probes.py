"""When a predict worker counts as ready: on a real Redis, and a registry that answers as MLflow does."""

import os
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import quote, unquote

import pytest
import redis

from cli.stack.probes import MOST_WORDS, ModelsServe, http_answers, is_unregistered, redis_answers
from shared.domain.identifiers import ModelName
from shared.queue import keys
from shared.queue.lua import Script, Scripts
from tests.support.servers import RedisServer

PETS = ModelName("pets & more")


class Registry(BaseHTTPRequestHandler):
    """Answers as MLflow does, and under `/health` with what the path says in JSON."""

    def do_GET(self) -> None:
        if self.path.startswith("/health/"):
            self.send_response(503)
            self.end_headers()
            self.wfile.write(unquote(self.path.removeprefix("/health/")).encode())
            return
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


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"status": "unavailable", "down": ["redis", "postgres"], "limits": {"a": 1}}', " down: redis, postgres"),
        ('{"status": "stopping", "down": []}', " down: nothing"),
        ('{"detail": "no room"}', " no room"),
        ('{"many": "' + "x" * 999 + '"}', ' {"many": "' + "x" * (MOST_WORDS - 10)),
        ("no JSON", ""),
    ],
)
def test_why_a_server_is_not_ready_is_short(registry: str, body: str, words: str) -> None:
    url = f"{registry}/health/{quote(body)}"
    assert http_answers(url) == f"{url} says 503{words}"


def test_a_server_that_refuses_the_login_says_so(registry: str) -> None:
    assert http_answers(f"{registry}/api", authorization="Basic y").endswith(
        "/api says 401 unauthorized: its login is wrong or missing"
    )


def test_redis_that_hangs_is_not_ready_whatever_the_error_says() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert redis_answers(f"redis://127.0.0.1:{silent.getsockname()[1]}")


def test_a_worker_is_ready_once_it_serves_what_it_is_to_serve_and_what_is_missing_is_not_waited_for(
    redis_server: RedisServer,
) -> None:
    def probe(*, missing: bool) -> str:
        return ModelsServe(models=[PETS], redis_url=redis_server.url, is_missing=lambda _: missing)(os.getpid())

    assert probe(missing=False) == "pets & more is not loaded"
    assert probe(missing=True) == ""


@pytest.mark.parametrize(("models", "signs"), [([PETS], keys.workers(PETS)), ([], keys.SERVING_ALL)])
def test_only_what_a_worker_says_itself_counts_and_not_one_before_it_with_its_process_id(
    redis_server: RedisServer, redis_client: redis.Redis, models: list[ModelName], signs: str
) -> None:
    """One that is killed leaves its sign; in a container the next one has the same host's name and process id."""
    scripts, name = Scripts(redis_client), f"{socket.gethostname()}-{os.getpid()}"
    scripts.run(Script.SIGN, (signs,), name)
    probe = ModelsServe(models=models, redis_url=redis_server.url)
    assert probe(os.getpid()) == probe(os.getpid()) != ""
    # Also where a version failed to load: the worker follows its model and has nothing more to wait for.
    scripts.run(Script.SIGN, (signs,), name)
    assert probe(os.getpid()) == ""


def test_a_retired_model_is_not_waited_for(redis_server: RedisServer, redis_client: redis.Redis) -> None:
    redis_client.sadd(keys.RETIRED, PETS)
    assert ModelsServe(models=[PETS], redis_url=redis_server.url)(os.getpid()) == ""


def test_a_registry_is_asked_whether_it_has_a_model(registry: str) -> None:
    def missing(model: str, *, url: str = registry, authorization: str = "Basic x") -> bool:
        return is_unregistered(model, registry_url=url, authorization=authorization)

    assert missing(PETS)
    assert not missing("digits")
    assert not missing(PETS, authorization="")
    assert not missing(PETS, url="http://127.0.0.1:9")
    assert not missing(PETS, url="sqlite:///mlflow.db")
