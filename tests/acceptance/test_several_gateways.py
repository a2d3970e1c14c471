"""Two gateways on one port: either answers for what the other accepted, and one that ends takes nothing with it."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException

import httpx
import psutil
import pytest

from cli.stack.ports import free_port
from tests.support.breakable_stack import Breakable, picture
from tests.support.extra_processes import GatewayByHand
from tests.support.load import Load, reckon
from tests.support.waiting import LIMIT, until

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def pair(breakable: Breakable) -> Iterator[list[GatewayByHand]]:
    """Two gateways of a port of their own, on the stores of a stack."""
    port = free_port()
    gateways = [GatewayByHand(breakable.stack, port=port, DARKROOM_SERVER_SHARE_PORT="true") for _ in range(2)]
    with ExitStack() as stack:
        for gateway in gateways:
            gateway.begin()
            stack.callback(gateway.close)
        yield gateways


def client_of(gateway: GatewayByHand, stack: ExitStack) -> httpx.Client:
    """Return a client with one connection, which this very process has accepted."""
    for _ in range(60):
        client = stack.enter_context(httpx.Client(base_url=gateway.url, timeout=LIMIT, trust_env=False))
        stream = client.get("/health/live").extensions["network_stream"]
        port = stream.get_extra_info("client_addr")[1]
        peers = {one.raddr.port for one in psutil.Process(gateway.process.pid).net_connections("tcp") if one.raddr}
        if port in peers:
            return client
    pytest.fail("the kernel gave it no connection of 60")


def test_what_one_accepts_the_other_answers_for(pair: list[GatewayByHand]) -> None:
    with ExitStack() as stack:
        first, second = (client_of(gateway, stack) for gateway in pair)
        id = first.post("/v1/predictions", content=picture(61_000), headers=PNG).json()["id"]
        waited = second.get(f"/v1/predictions/{id}", headers={"Prefer": "wait=60"}).json()
        assert (waited["id"], waited["status"]) == (id, "succeeded")
        streamed = first.post("/v1/predictions", content=picture(61_001), headers=PNG).json()
        with second.stream("GET", streamed["urls"]["stream"]) as events:
            assert "event: done" in "".join(events.iter_text())
        assert first.get(f"/v1/predictions/{streamed['id']}").json()["status"] == "succeeded"
        again = {"Idempotency-Key": "one of both", **PNG}
        answers = [
            one.post("/v1/predictions", content=picture(61_002), headers=again).json() for one in (first, second)
        ]
        assert answers[0]["id"] == answers[1]["id"]


def test_one_that_is_killed_under_load_loses_no_accepted_image(breakable: Breakable, pair: list[GatewayByHand]) -> None:
    rows_before = breakable.count_rows()
    with Load(pair[0].url, first=62_000, clients=6) as load:
        for gateway in pair:
            load.wait_for_more(60)
            gateway.close()
            load.wait_for_more(60)  # the other takes all of them
            gateway.begin()
    assert load.broken > 0
    reckon(breakable, load, rows_before=rows_before)


def test_one_that_is_told_to_stop_refuses_no_connection(pair: list[GatewayByHand]) -> None:
    troubles: list[str] = []
    answered = 0
    stopping = threading.Event()

    def connect_forever() -> None:
        nonlocal answered
        while not stopping.wait(0.01):
            try:
                with closing(HTTPConnection(httpx.URL(pair[0].url).netloc.decode(), timeout=LIMIT)) as connection:
                    connection.request("GET", "/health/live")
                    answered += connection.getresponse().status == 200
            except (OSError, HTTPException) as error:
                troubles.append(repr(error))

    threads = [threading.Thread(target=connect_forever) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for gateway in pair:
            until(lambda before=answered: answered > before + 20, what="connections are answered")  # type: ignore[misc]
            gateway.stop()
            assert gateway.process.wait(timeout=LIMIT) == -signal.SIGTERM
            gateway.begin()
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert troubles == []


def test_a_program_that_does_not_share_the_port_keeps_it(breakable: Breakable) -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        done = GatewayByHand(breakable.stack, port=port, DARKROOM_SERVER_SHARE_PORT="true").run()
    assert done.returncode == 3
    assert "address_taken" in done.stdout + done.stderr
    assert str(port) in done.stdout + done.stderr
