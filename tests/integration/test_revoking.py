"""A key that is revoked and an owner that is purged reach the requests that are open, whatever these are doing.

A real gateway process on a real Redis and Postgres, without workers: what was accepted waits.
"""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis
from PIL import Image
from sqlalchemy import Engine

from cli.addresses import free_port
from shared.domain.apikeys import Role
from shared.domain.identifiers import ModelName, Owner, VersionKey, VersionNumber, new_uuid7
from shared.domain.route import Route, Version
from shared.queue import keys, purging
from shared.queue.routes import publish
from shared.storage import api_keys
from tests.acceptance.faults import until
from tests.acceptance.openrequests import UPLOADS, WAITS, finishing, following
from tests.servers import RedisServer

DIGITS = Route(
    model=ModelName("digits"),
    description="",
    aliases={"champion": VersionNumber("1")},
    versions={VersionNumber("1"): Version(number=VersionNumber("1"), key=VersionKey("1-m-1"), created_at="")},
)
PNG = {"Content-Type": "image/png"}
Start = Callable[[bool], "Gateway"]


class Gateway:
    """A gateway process; what it logs is in a file."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        port = free_port()
        self.url, self._log = f"http://127.0.0.1:{port}", folder / "log"
        command = (
            sys.executable, "-m", "uvicorn", "api.main:create_app", "--factory", "--port", str(port),
            "--http", "api.protocol:HttpProtocol", "--log-level", "warning",
        )  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=os.environ | environment, stderr=log, stdout=log)
        until(self._is_alive, seconds=30, what="it serves")

    def _is_alive(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/live", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def client(self, key: str = "") -> httpx.Client:
        """Return a client with a key, or none."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False)

    def log(self) -> str:
        """Return what it logged."""
        return self._log.read_text()

    def end(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


@pytest.fixture
def start(redis_server: RedisServer, database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Start a gateway that asks for keys or does not."""
    started: list[Gateway] = []

    def begin(required: bool) -> Gateway:  # noqa: FBT001
        environment = {
            "DARKROOM_REDIS_URL": redis_server.url, "DARKROOM_DATABASE_URL": database_url,
            "DARKROOM_AUTH_REQUIRED": str(required), "DARKROOM_AUTH_REFRESH": "0.5",
        }  # fmt: skip
        with redis_server.client() as client:
            publish(client, DIGITS)
            client.zadd(keys.workers(DIGITS.model), {"1": 1e17})
        started.append(Gateway(tmp_path, environment))
        return started[-1]

    yield begin
    for gateway in started:
        gateway.end()


def made(engine: Engine, name: str) -> str:
    with engine.connect() as connection:
        return api_keys.create(connection, Owner(name), role=Role.SUBMIT)[1]


@pytest.fixture
def scan() -> bytes:
    """A small image."""
    written = io.BytesIO()
    Image.new("L", (8, 8), 200).save(written, "PNG")
    return written.getvalue()


def sent(client: httpx.Client, scan: bytes) -> str:
    answer = client.post("/v1/predictions", content=scan, headers=PNG)
    assert answer.status_code == 202, answer.text
    id: str = answer.json()["id"]
    return id


def test_a_revoked_key_ends_every_request_that_is_open(
    start: Start, engine: Engine, redis_client: redis.Redis, scan: bytes
) -> None:
    gateway, key, other = start(True), made(engine, "leaver"), made(engine, "leaver")  # noqa: FBT003
    with gateway.client(other) as stays:
        id = sent(stays, scan)
        opened = [begin(gateway.url, key, scan, id) for begin in (*UPLOADS, *WAITS)]
        stream, kept = (following(gateway.url, one, scan, id) for one in (key, other))
        until(lambda: redis_client.zcard(keys.inflight(Owner("leaver"))) > 40, seconds=20, what="some are enqueued")
        with finishing([*opened, stream]) as said, engine.connect() as connection:
            api_keys.revoke(connection, key)
        for begin, answer in zip((*UPLOADS, *WAITS), said, strict=False):
            assert answer.startswith(b"HTTP/1.1 401 "), (begin, answer)
            assert b"was revoked while the request was open" in answer, begin
        assert said[-1].startswith(b"HTTP/1.1 200 ")
        assert not said[-1].endswith(b"0\r\n\r\n"), "a broken answer must not look whole"
        # Uploads that were broken off are canceled; the submission that was whole stays, as does who has another key.
        until(lambda: redis_client.zcard(keys.inflight(Owner("leaver"))) == 2, seconds=20, what="uploads are canceled")
        stays.post(f"/v1/predictions/{id}/cancel")
        kept.read(until_it_says=b"event: done")
        kept.close()
    assert "Traceback" not in gateway.log()
    assert '"error"' not in gateway.log()


def test_an_owner_that_is_purged_is_refused_until_the_purge_has_ended(
    start: Start, redis_client: redis.Redis, scan: bytes
) -> None:
    gateway = start(False)  # noqa: FBT003
    with gateway.client() as client:
        opened = [begin(gateway.url, "", scan, new_uuid7()) for begin in UPLOADS]
        with finishing(opened) as said:
            purging.mark(redis_client, Owner("default"))
        for begin, answer in zip(UPLOADS, said, strict=True):
            assert answer.startswith(b"HTTP/1.1 503 "), (begin, answer)
            assert b"/problems/being-purged" in answer
        for method, path in (("GET", "/v1/predictions"), ("POST", "/v1/predictions"), ("GET", "/nowhere")):
            refused = client.request(method, path)
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/being-purged")
            assert int(refused.headers["Retry-After"]) > 0
        assert client.get("/health/live").status_code == 200
        purging.unmark(redis_client, Owner("default"))
        until(lambda: client.get("/v1/predictions").status_code == 200, seconds=10, what="it is welcome again")
        sent(client, scan)
    assert "Traceback" not in gateway.log()


def test_the_mark_of_a_purge_that_was_killed_goes_by_itself(
    monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis
) -> None:
    owner = Owner("ann")
    purging.mark(redis_client, owner)
    assert purging.parse(redis_client.execute_command(*purging.read_command())) == {owner}
    later = purging.now_us() + 61_000_000
    monkeypatch.setattr(purging, "now_us", lambda: later)
    assert purging.parse(redis_client.execute_command(*purging.read_command())) == set()
    purging.mark(redis_client, Owner("bob"))
    assert redis_client.zcard(keys.PURGING) == 1
