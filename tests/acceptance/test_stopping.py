"""A gateway that is told to stop: it says so first, serves on, and cuts nobody off."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from cli.addresses import free_port
from shared.queue import keys
from tests.acceptance.bulk import accepted, ended, send_images
from tests.acceptance.door import MODEL, Door
from tests.acceptance.pictures import renewed

if TYPE_CHECKING:
    from tests.acceptance.conftest import Stack

PNG = {"Content-Type": "image/png"}


class Gateway:
    """One more gateway on the stack's stores."""

    def __init__(self, stack: "Stack", *, drain: str) -> None:
        status, port = stack.status(), free_port()
        stores = {"DARKROOM_REDIS_URL": status["redis"]["url"], "DARKROOM_DATABASE_URL": status["postgres"]["url"]}
        command = (
            sys.executable, "-m", "uvicorn", "api.main:create_app", "--factory", "--port", str(port),
            "--timeout-graceful-shutdown", "5", "--log-level", "warning",
        )  # fmt: skip
        self.process = subprocess.Popen(command, env=stack.environment | stores | {"DARKROOM_DRAIN": drain})
        self.url = f"http://127.0.0.1:{port}"
        until(lambda: self.ready() == 200, what="it is ready")

    def ready(self) -> int:
        """Return the status of its readiness, on a connection of its own; 0 where nothing listens."""
        try:
            return httpx.get(f"{self.url}/health/ready", trust_env=False).status_code
        except httpx.TransportError:
            return 0

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)


def until(look: Callable[[], Any], *, what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def start(stack: "Stack") -> Iterator[Callable[..., Gateway]]:
    started: list[Gateway] = []

    def begin(*, drain: str) -> Gateway:
        started.append(Gateway(stack, drain=drain))
        return started[-1]

    yield begin
    for gateway in started:
        gateway.process.kill()
        gateway.process.wait()


def test_it_turns_unready_serves_on_and_ends_when_its_time_is_over(start: Callable[..., Gateway], scan: bytes) -> None:
    gateway = start(drain="2")
    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        assert "connection" not in client.get("/health/live").headers
        began = time.monotonic()
        gateway.stop()
        until(lambda: gateway.ready() == 503, what="it says so")
        answer = client.post("/v1/predictions", content=renewed(scan), headers=PNG | {"Prefer": "wait=20"})
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        gateway.process.wait(timeout=10)
        assert time.monotonic() - began >= 2
        assert gateway.process.returncode == -signal.SIGTERM


def test_a_second_signal_ends_it_at_once(start: Callable[..., Gateway]) -> None:
    gateway = start(drain="PT1H")
    gateway.stop()
    until(lambda: gateway.ready() == 503, what="it says so")
    gateway.stop()
    gateway.process.wait(timeout=10)


def test_who_waits_is_told_how_it_stands_and_who_follows_may_go_on_elsewhere(
    start: Callable[..., Gateway], door: Door, scan: bytes
) -> None:
    gateway = start(drain="0.5")
    answers: dict[str, Any] = {}
    with door.workers_stopped():
        id = door.accepted(renewed(scan))

        def ask(name: str, method: str, path: str, **request: Any) -> None:
            with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as client:
                answers[name] = client.request(method, path, **request)

        asked = [
            threading.Thread(target=ask, args=args, kwargs=request)
            for args, request in (
                (
                    ("submit", "POST", "/v1/predictions"),
                    {"content": renewed(scan), "headers": PNG | {"Prefer": "wait"}},
                ),
                (("look", "GET", f"/v1/predictions/{id}"), {"headers": {"Prefer": "wait"}}),
                (("follow", "GET", f"/v1/predictions/{id}/stream"), {}),
            )
        ]
        for one in asked:
            one.start()
        until(lambda: door.lane_depth() == 2, what="both wait")
        time.sleep(0.2)  # until the stream is open, which nothing shows
        gateway.stop()
        for one in asked:
            one.join()
        gateway.process.wait(timeout=10)
    assert (answers["submit"].status_code, answers["submit"].json()["status"]) == (202, "starting")
    assert (answers["look"].status_code, answers["look"].json()["status"]) == (200, "starting")
    # It breaks off whole, without an end: EventSource and others ask again with its id, wherever the URL leads by then.
    assert answers["follow"].text.startswith("event: logs\ndata: starting\nid: 1\n\n")
    assert "event: done" not in answers["follow"].text
    rest = door.http.get(f"/v1/predictions/{id}/stream", headers={"Last-Event-ID": "1"}).text
    assert "starting" not in rest
    assert rest.endswith("event: done\ndata: {}\nid: 4\n\n")


@pytest.mark.parametrize("role", ["predict", "record"])
def test_a_worker_that_is_told_to_stop_leaves_nothing_in_its_hands(
    stack: "Stack", door: Door, scan: bytes, role: str
) -> None:
    pids = stack.pids(role)
    batch = accepted(send_images(door.http, [(f"{number}.png", renewed(scan)) for number in range(1500)]))["id"]
    stream, group = keys.lane(MODEL, keys.bulk_lane(batch)), keys.WORKERS
    if role == "record":
        stream, group = keys.FINISHED, keys.RECORDERS
    until(lambda: door.redis.xpending(stream, group)["pending"], what="it has something in hand")
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not any(map(psutil.pid_exists, pids)), what="they end")
    # Nobody else has begun to work by now, and no lease has ended.
    assert door.redis.xpending(stream, group)["pending"] == 0
    stack.wait_until_ready()
    assert ended(door.http, batch)["request_counts"] == {"total": 1500, "succeeded": 1500, "failed": 0, "canceled": 0}
