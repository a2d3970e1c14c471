"""Readiness probes: each returns an empty string where the program is ready, else why not; within about a second."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import psutil

from cli.stack.supervisor.identity import ProcessIdentity
from shared.observability.error_text import error_text

SECONDS = 1.0
MOST_WORDS = 200
"""Characters of an answer that is not known."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer; `body` is its JSON, None where it is not JSON."""

    status: int
    body: Any


def fetch(url: str, *, authorization: str = "", seconds: float = SECONDS) -> Answer:
    """GET from a server on this machine, past any proxy; raises OSError or HTTPException."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request("GET", target, headers={"Authorization": authorization} if authorization else {})
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    try:
        return Answer(response.status, json.loads(text))
    except ValueError:
        return Answer(response.status, None)


def http_answers(url: str, *, authorization: str = "") -> str:
    """Probe an HTTP server: ready where it answers 200; else why not, in its own problem's words where it has any."""
    try:
        answer = fetch(url, authorization=authorization)
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer ({type(error).__name__})"
    if answer.status == http.client.OK:
        return ""
    return f"{url} says {answer.status} {_words(answer)}".rstrip()


def registry_answers(url: str, *, authorization: str) -> str:
    """Probe an MLflow server by asking its store, as workers do: /health answers whatever the store does."""
    asked = f"{url.rstrip('/')}/api/2.0/mlflow/registered-models/search?max_results=1"
    return http_answers(asked, authorization=authorization)


def _words(answer: Answer) -> str:
    """Return what a problem says, or which stores the gateway's health says are down; any other JSON cut short."""
    body = answer.body
    if answer.status == http.client.UNAUTHORIZED:
        return "unauthorized: its login is wrong or missing"
    if not isinstance(body, dict):
        return ""
    if isinstance(body.get("down"), list):
        return f"down: {', '.join(map(str, body['down'])) or 'nothing'}"
    return str(body.get("detail") or json.dumps(body)[:MOST_WORDS])


def gateway_serves(pid: int, *, url: str, port: int) -> str:
    """Probe a gateway: ready once this very process listens, which others may do there too, and the API is ready."""
    try:
        listening = {one.laddr.port for one in psutil.Process(pid).net_connections("tcp") if one.status == "LISTEN"}
    except psutil.Error as error:
        return f"its sockets can't be read ({type(error).__name__})"
    return http_answers(f"{url}/health/ready") if port in listening else f"it does not listen on port {port} yet"


def redis_answers(url: str) -> str:
    """Probe Redis: ready once it has loaded its data and answers."""
    # Imported inside, here and below: the first programs start before these 0.2 s are spent.
    import redis  # noqa: PLC0415

    with redis.Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS) as client:
        try:
            client.ping()
        except (redis.RedisError, OSError) as error:
            return error_text(error)
    return ""


def postgres_answers(url: str) -> str:
    """Probe Postgres: ready once it has recovered and accepts connections."""
    import psycopg2  # noqa: PLC0415

    try:
        # libpq does not know SQLAlchemy's form `postgresql+psycopg2://`.
        psycopg2.connect(f"postgresql{url[url.index('://') :]}", connect_timeout=int(SECONDS)).close()
    except (psycopg2.Error, ValueError) as error:
        return str(error).strip().splitlines()[-1]
    return ""


def worker_answers(redis_url: str, node: str) -> str:
    """Probe a Celery worker: ready once it answers a ping over the broker."""
    from celery import Celery  # noqa: PLC0415

    from shared.queue.connection.clients import broker_url  # noqa: PLC0415
    from shared.settings import Redis  # noqa: PLC0415

    try:
        with Celery(broker=broker_url(Redis(url=redis_url))) as app:
            said = app.control.ping(destination=[node], timeout=SECONDS)
    except Exception as error:  # noqa: BLE001  kombu lets through whatever its transport raises
        return f"the broker does not answer ({type(error).__name__})"
    return "" if said else f"{node} does not answer"


def has_lived(pid: int, *, seconds: float) -> str:
    """Probe a process that can't be asked, such as beat: ready where it is still alive after `seconds`."""
    identity = ProcessIdentity.of(pid)
    time.sleep(seconds)
    return "" if identity is not None and identity.is_alive else "it has only begun"


class ModelsServe:
    """Probes a predict worker: ready once it has loaded, or failed to load, what each model's aliases name.

    With no models it serves all that are registered: ready once that holds for the champions of then. Retired models
    are not waited for, nor are those of which `is_missing` says that nothing is registered: a worker picks them up
    later. `up` says which models do not serve, and why.

    A worker is known by its process id, which one that was killed may have had: only signs given since the first probe
    of a process count, by Redis' clock. Workers give them every 2 s.
    """

    def __init__(
        self, *, models: Sequence[str], redis_url: str, is_missing: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._models = models
        self._redis_url = redis_url
        self._is_missing = is_missing
        self._pid, self._since = 0, 0

    def __call__(self, pid: int) -> str:
        """Probe the worker with this process id."""
        import redis  # noqa: PLC0415

        from shared.domain.identifiers import ModelName  # noqa: PLC0415
        from shared.queue import keys  # noqa: PLC0415
        from shared.queue.server_clock import server_time_us  # noqa: PLC0415

        member = f"{socket.gethostname()}-{pid}"
        with redis.Redis.from_url(self._redis_url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS) as client:
            try:
                if pid != self._pid:
                    self._pid, self._since = pid, server_time_us(client)

                def signed(signs: str) -> bool:
                    at = client.zscore(signs, member)
                    return at is not None and at >= self._since

                if not self._models and not signed(keys.SERVING_ALL):
                    return "it has not loaded all champions yet"
                for model in map(ModelName, self._models):
                    if client.sismember(keys.RETIRED, model) or signed(keys.workers(model)):
                        continue
                    if not self._is_missing(model):
                        return f"{model} is not loaded"
            except (redis.RedisError, OSError) as error:
                return error_text(error)
        return ""


def is_unregistered(model: str, *, registry_url: str, authorization: str) -> bool:
    """Tell whether a registry over plain HTTP answers that it has no such model; False where it can't be asked."""
    if not registry_url.startswith("http://"):
        return False
    url = f"{registry_url.rstrip('/')}/api/2.0/mlflow/registered-models/get?name={quote(model, safe='')}"
    try:
        return fetch(url, authorization=authorization).status == http.client.NOT_FOUND
    except (OSError, http.client.HTTPException):
        return False
