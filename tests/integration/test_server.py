"""The gateway's process: on a Unix socket, on an address that is taken, and started with another server's command."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from api.server import START_FAILED
from tests.support.relay import Relay
from tests.support.servers import RedisServer
from tests.support.waiting import LIMIT, until, until_async

COMMAND = (sys.executable, "-m", "api.server")


def run(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )


def test_the_gateway_listens_on_a_unix_socket_and_requires_keys(
    redis_server: RedisServer, short_directory: Callable[[], Path]
) -> None:
    path = short_directory() / "api.sock"
    environment = {"DARKROOM_REDIS_URL": redis_server.url, "DARKROOM_SERVER_SOCKET": str(path)}
    with (
        subprocess.Popen(COMMAND, env=os.environ | environment) as process,
        httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as client,
    ):
        try:
            until(path.exists, what="it listens")
            assert client.get("/health/live").status_code == 200
            assert client.get("/v1/models").status_code == 401
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=LIMIT) == -signal.SIGTERM
            assert not path.exists()
        finally:
            process.kill()


def test_an_address_in_use_is_reported_and_ends_the_gateway(redis_server: RedisServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(*COMMAND, DARKROOM_REDIS_URL=redis_server.url, DARKROOM_SERVER_PORT=port)
    assert done.returncode == START_FAILED
    assert "address already in use" in done.stderr


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_waiting_for_redis_stops_when_told_to(tmp_path: Path, stop: signal.Signals) -> None:
    log, url = tmp_path / "log", f"unix://{tmp_path}/none.sock"
    environment = {"DARKROOM_REDIS_URL": url, "DARKROOM_REDIS_TIMEOUT": "1"}
    with log.open("wb") as lines, subprocess.Popen(COMMAND, env=os.environ | environment, stderr=lines) as process:
        try:
            until(lambda: b"waiting_for_redis" in log.read_bytes(), what="it waits")
            process.send_signal(stop)
            assert process.wait(timeout=LIMIT) == -stop
        finally:
            process.kill()
    assert b"Traceback" not in log.read_bytes()


class Cutting(Relay):
    """Cuts the connection at commands that hold these bytes, as long as `cuts`; counts them."""

    def __init__(self, directory: Path, *, to: str, at: bytes) -> None:
        super().__init__(directory, to=to)
        self._at = at
        self.cuts, self.cut = True, 0

    def passes(self, data: bytes) -> bool:
        """Tell whether a client's bytes reach the server."""
        is_cut = self.cuts and self._at in data
        self.cut += is_cut
        return not is_cut


@pytest.mark.parametrize("command", [b"\r\nDEL\r\n", b"\r\nINFO\r\n", b"SET\r\n$13\r\nsecret", b"GET\r\n$13\r\nsecret"])
def test_a_redis_that_is_lost_in_the_middle_of_its_start_ends_no_gateway(
    redis_server: RedisServer, short_directory: Callable[[], Path], command: bytes
) -> None:
    """A busy machine does that by itself: Redis answers one command in time, and not the next."""

    async def claim() -> None:
        folder = short_directory()
        log, path = folder / "log", folder / "api.sock"
        async with Cutting(folder, to=redis_server.url, at=command) as relay:
            environment = {
                "DARKROOM_REDIS_URL": relay.url, "DARKROOM_REDIS_TIMEOUT": "0.5", "DARKROOM_SERVER_SOCKET": str(path),
            }  # fmt: skip
            with (
                log.open("wb") as lines,
                subprocess.Popen(COMMAND, env=os.environ | environment, stderr=lines) as one,  # noqa: ASYNC220  at once
            ):
                try:
                    await until_async(
                        lambda: one.poll() is not None or (relay.cut and b"waiting_for_redis" in log.read_bytes())
                    )
                    relay.cuts = False
                    await until_async(lambda: one.poll() is not None or path.exists())
                    assert one.poll() is None, log.read_text()
                finally:
                    one.kill()

    asyncio.run(claim())


def test_uvicorns_own_command_is_refused_with_one_line() -> None:
    done = run(sys.executable, "-m", "uvicorn", "api.main:create_app", "--factory")
    assert done.returncode == 1
    assert done.stderr.startswith("start the gateway with `python -m api.server`")
    assert done.stderr.count("\n") == 1
