"""A gateway that gets SIGTERM: it becomes unready, serves until its drain time is over, and interrupts no request."""

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import httpx
import psutil
import pytest

from shared.queue import keys
from tests.support.api_client import MODEL, Door
from tests.support.batches import accepted, ended, send_images
from tests.support.extra_processes import GatewayByHand
from tests.support.pictures import renewed
from tests.support.waiting import LIMIT, until

if TYPE_CHECKING:
    from tests.support.stack import Stack

PAUSE = 0.05
"""Seconds between two images of a client. Four of them have one or two requests open whenever a process ends."""
PNG = {"Content-Type": "image/png"}


@pytest.fixture
def start(stack: "Stack") -> Iterator[Callable[..., GatewayByHand]]:
    started: list[GatewayByHand] = []

    def begin(*, drain: str) -> GatewayByHand:
        started.append(GatewayByHand(stack, DARKROOM_DRAIN=drain))
        started[-1].begin()
        return started[-1]

    yield begin
    for gateway in started:
        gateway.close()


def test_on_sigterm_it_turns_unready_and_serves_until_a_second_signal_ends_it(
    start: Callable[..., GatewayByHand], scan: bytes
) -> None:
    gateway = start(drain="PT1H")
    with httpx.Client(base_url=gateway.url, timeout=LIMIT, trust_env=False) as client:
        assert "connection" not in client.get("/health/live").headers
        gateway.stop()
        until(lambda: gateway.ready() == 503, what="it says so")
        answer = client.post("/v1/predictions", content=renewed(scan), headers=PNG | {"Prefer": "wait=60"})
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    gateway.stop()
    assert gateway.process.wait(timeout=LIMIT) == -signal.SIGTERM


def test_it_ends_by_itself_after_its_drain_time(start: Callable[..., GatewayByHand]) -> None:
    gateway = start(drain="1")
    began = time.monotonic()
    gateway.stop()
    assert gateway.process.wait(timeout=LIMIT) == -signal.SIGTERM
    assert time.monotonic() - began >= 1


def requests_in_progress(gateway: GatewayByHand) -> int:
    """How many requests a gateway answers at this moment; the one that asks is among them."""
    text = httpx.get(f"{gateway.url}/metrics", trust_env=False).raise_for_status().text
    return int(float(text.split("\ndarkroom_http_requests_in_progress ")[1].split()[0]))


def test_at_the_end_waits_get_the_current_state_and_streams_can_resume(
    start: Callable[..., GatewayByHand], door: Door, scan: bytes
) -> None:
    gateway = start(drain="0.5")
    answers: dict[str, Any] = {}
    with door.workers_stopped():
        id = door.accepted(renewed(scan))

        def ask(name: str, method: str, path: str, **request: Any) -> None:
            with httpx.Client(base_url=gateway.url, timeout=LIMIT, trust_env=False) as client:
                answers[name] = client.request(method, path, **request)

        asked = [
            threading.Thread(target=ask, args=args, kwargs=request)
            for args, request in (
                (
                    ("submit", "POST", "/v1/predictions"),
                    {"content": renewed(scan), "headers": PNG | {"Prefer": "wait"}},
                ),
                (("wait", "GET", f"/v1/predictions/{id}"), {"headers": {"Prefer": "wait"}}),
                (("follow", "GET", f"/v1/predictions/{id}/stream"), {}),
            )
        ]
        for one in asked:
            one.start()
        until(lambda: requests_in_progress(gateway) >= len(asked) + 1, what="all three wait")
        until(lambda: door.lane_depth() == 2, what="the submission is accepted")
        gateway.stop()
        for one in asked:
            one.join()
        gateway.process.wait(timeout=LIMIT)
    assert (answers["submit"].status_code, answers["submit"].json()["status"]) == (202, "starting")
    assert (answers["wait"].status_code, answers["wait"].json()["status"]) == (200, "starting")
    # It ends between two events, without `done`: EventSource reconnects with the last id, to whichever gateway serves.
    assert answers["follow"].text.startswith("event: logs\ndata: starting\nid: 1\n\n")
    assert "event: done" not in answers["follow"].text
    rest = door.http.get(f"/v1/predictions/{id}/stream", headers={"Last-Event-ID": "1"}).text
    assert "starting" not in rest
    assert rest.endswith("event: done\ndata: {}\nid: 4\n\n")


@pytest.mark.parametrize("role", ["predict", "record"])
def test_a_stopped_worker_leaves_no_entry_leased(stack: "Stack", door: Door, scan: bytes, role: str) -> None:
    pids = stack.pids(role)
    batch = accepted(send_images(door.http, [(f"{number}.png", renewed(scan)) for number in range(1500)]))["id"]
    stream, group = keys.lane(MODEL, keys.bulk_lane(batch)), keys.WORKERS
    if role == "record":
        stream, group = keys.FINISHED, keys.RECORDERS

    def in_hand() -> int:
        """Count the entries of these processes alone: others, started in their place, may have begun to work."""
        consumers = door.redis.xinfo_consumers(stream, group)
        ours = [one for one in consumers if any(f"-{pid}-" in f"{one['name'].decode()}-" for pid in pids)]
        return sum(one["pending"] for one in ours)

    until(in_hand, what="it has something in hand")
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not any(map(psutil.pid_exists, pids)), what="they end")
    assert in_hand() == 0
    stack.wait_until_ready()
    assert ended(door.http, batch)["request_counts"] == {"total": 1500, "succeeded": 1500, "failed": 0, "canceled": 0}


class Balancer:
    """A load balancer for two gateways: polls their readiness ten times a second and counts their open requests."""

    def __init__(self, gateways: list[GatewayByHand]) -> None:
        self._asked = dict.fromkeys(gateways, 0)
        self._ready = dict.fromkeys(gateways, True)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._poll)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @contextmanager
    def gateway(self) -> Iterator[GatewayByHand | None]:
        """Lend the gateway that is ready and has the least to do; None where none is ready."""
        with self._lock:
            ready = [one for one, is_ready in self._ready.items() if is_ready]
            chosen = min(ready, key=self._asked.__getitem__, default=None)
            if chosen:
                self._asked[chosen] += 1
        try:
            yield chosen
        finally:
            with self._lock:
                if chosen:
                    self._asked[chosen] -= 1

    def takes(self, gateway: GatewayByHand) -> bool:
        """Whether requests are sent to it."""
        return self._ready[gateway]

    def has_left(self, gateway: GatewayByHand) -> bool:
        """Whether no request is sent to it any more, and all that were have their answers."""
        with self._lock:
            return not self._ready[gateway] and not self._asked[gateway]

    def _poll(self) -> None:
        while not self._over.wait(0.1):
            for gateway in self._ready:
                self._ready[gateway] = gateway.ready() == 200


class People(threading.Thread):
    """A client: sends images one by one to a ready gateway, retries where told to, and reads each prediction."""

    def __init__(self, balancer: Balancer, scan: bytes, *, over: threading.Event) -> None:
        super().__init__()
        self._balancer, self._scan, self._over = balancer, scan, over
        self.accepted: list[str] = []
        self.failures: list[str] = []

    def run(self) -> None:
        with ExitStack() as clients:
            known: dict[str, httpx.Client] = {}
            while not self._over.wait(PAUSE):
                self._send(known, clients)

    def _send(self, known: dict[str, httpx.Client], clients: ExitStack) -> None:
        """Submit one image, with or without waiting, until it is accepted; then read its prediction."""
        headers = PNG | {"Idempotency-Key": uuid.uuid4().hex}
        headers |= {"Prefer": "wait=2"} if len(self.accepted) % 2 else {}
        image = renewed(self._scan)
        asked = [("POST", "/v1/predictions", {"content": image, "headers": headers})]
        while asked:
            method, path, request = asked[0]
            try:
                with self._balancer.gateway() as gateway:
                    if not gateway:
                        time.sleep(0.1)
                        continue
                    if gateway.url not in known:
                        client = httpx.Client(base_url=gateway.url, timeout=LIMIT, trust_env=False)
                        known[gateway.url] = clients.enter_context(client)
                    answer = known[gateway.url].request(method, path, **request)
            except httpx.TransportError as error:
                self.failures.append(f"{method} {path}: {error!r}")
                return
            if answer.status_code in (429, 503) and "Retry-After" in answer.headers:
                time.sleep(0.2)
                continue
            if not answer.is_success:
                self.failures.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
                return
            asked.pop(0)
            if method == "POST":
                self.accepted.append(answer.json()["id"])
                asked.append(("GET", f"/v1/predictions/{self.accepted[-1]}", {}))


def test_a_rolling_restart_fails_no_request(
    start: Callable[..., GatewayByHand], stack: "Stack", door: Door, scan: bytes
) -> None:
    gateways, over = [start(drain="PT1H"), start(drain="PT1H")], threading.Event()
    with Balancer(gateways) as balancer:
        people = [People(balancer, scan, over=over) for _ in range(4)]
        for one in people:
            one.start()
        try:
            for gateway in gateways:
                gateway.stop()
                until(partial(balancer.has_left, gateway), what="the balancer leaves it")
                gateway.stop()
                gateway.process.wait(timeout=LIMIT)
                gateway.begin()
                until(partial(balancer.takes, gateway), what="the balancer sees it")
            running = stack.status()
            for role in ("predict", "record", "webhooks", "beat", "flower", "postgres", "redis"):
                for pid in running[role]["pids"]:
                    # SIGINT is Postgres' fast shutdown: SIGTERM would wait until all clients have disconnected.
                    os.kill(pid, signal.SIGINT if role == "postgres" else signal.SIGTERM)
                    until(lambda pid=pid: not psutil.pid_exists(pid), what=f"{role} ends")
            stack.wait_until_ready()
        finally:
            over.set()
            for one in people:
                one.join()
    assert [failure for one in people for failure in one.failures] == []
    accepted = {id for one in people for id in one.accepted}
    assert len(accepted) == sum(len(one.accepted) for one in people) > 100
    assert {door.ended(id)["status"] for id in accepted} == {"succeeded"}
    door.wait_until_quiet()
    assert "All is well" in stack.darkroom("audit").stdout
