"""Which addresses are connected to, on a network that only records them; lookups are faked or the system's."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_network
from socket import gaierror
from typing import Any

import httpcore
import pytest

from tests.support.waiting import LIMIT
from worker.webhooks.checked_network import (
    MOST_ADDRESSES,
    PATIENCE,
    AddressRefused,
    BoundedStream,
    CheckedNetwork,
    HostUnknown,
    SentTooMuch,
    resolve,
)

PUBLIC, OTHER, PRIVATE = "8.8.8.8", "2606:4700::1111", "10.0.0.1"


class Noted(httpcore.AsyncNetworkBackend):
    """A network that connects to nothing but notes to what; `dead` addresses don't answer."""

    def __init__(self, *dead: str) -> None:
        self.called: list[tuple[str, int]] = []
        self.timeouts: list[float | None] = []
        self._dead = dead

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        assert (local_address, socket_options) == (None, None)
        self.called.append((host, port))
        self.timeouts.append(timeout)
        if host in self._dead:
            raise httpcore.ConnectError("x") from OSError(111, "Connect call failed ('8.8.8.8', 443)")
        return httpcore.AsyncMockStream([b"hello"])


class Changing:
    """A name's lookups, each with the next answer."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = iter(answers)

    def __call__(self, host: str) -> Sequence[str]:
        assert host == "receiver.test"
        return next(self._answers)


def fixed(*addresses: str) -> Callable[[str], Sequence[str]]:
    return lambda _: addresses


def connect(
    lookup: Callable[[str], Sequence[str]], noted: Noted, *, host: str = "receiver.test", allowed: Sequence[str] = ()
) -> Any:
    network = CheckedNetwork(
        allowed=[ip_network(one) for one in allowed], max_answer_bytes=100, resolve=lookup, network=noted
    )
    try:
        return asyncio.run(network.connect_tcp(host, 443))
    finally:
        network.close()


def test_the_checked_address_is_the_one_connected_to() -> None:
    noted = Noted()
    connect(fixed(PUBLIC), noted)
    assert noted.called == [(PUBLIC, 443)]


def test_a_name_that_turns_private_after_the_check_is_not_followed() -> None:
    rebinding, noted = Changing([PUBLIC], ["127.0.0.1"]), Noted()
    connect(rebinding, noted)
    assert noted.called == [(PUBLIC, 443)]
    with pytest.raises(AddressRefused, match=r"^receiver\.test leads to 127\.0\.0\.1 \(loopback\), which must not be"):
        connect(rebinding, noted)
    assert noted.called == [(PUBLIC, 443)]


def test_refused_addresses_are_skipped() -> None:
    noted = Noted()
    connect(fixed("127.0.0.1", PRIVATE, "fe80::1%2", PUBLIC), noted)
    assert noted.called == [(PUBLIC, 443)]


def test_a_refusal_names_the_host_each_address_and_why() -> None:
    noted = Noted()
    with pytest.raises(AddressRefused) as refused:
        connect(fixed(PRIVATE, "::1", PRIVATE), noted)
    assert str(refused.value) == "receiver.test leads to 10.0.0.1 (private), ::1 (loopback), which must not be called"
    assert noted.called == []


def test_addresses_in_an_allowed_network_are_connected_to() -> None:
    noted = Noted()
    connect(fixed(PRIVATE), noted, allowed=["10.0.0.0/8"])
    assert noted.called == [(PRIVATE, 443)]


def test_the_addresses_are_tried_in_order_until_one_answers() -> None:
    noted = Noted(PUBLIC)
    connect(fixed(PUBLIC, OTHER, "1.1.1.1"), noted)
    assert [address for address, _ in noted.called] == [PUBLIC, OTHER]


def test_only_the_last_address_gets_all_the_remaining_time() -> None:
    noted = Noted(PUBLIC, OTHER)
    with pytest.raises(httpcore.ConnectError):
        connect(fixed(PUBLIC, OTHER), noted)
    assert noted.timeouts == [PATIENCE.total_seconds(), None]


def test_when_no_address_answers_the_error_gives_the_reason_for_each() -> None:
    with pytest.raises(httpcore.ConnectError) as failed:
        connect(fixed(PUBLIC, OTHER), Noted(PUBLIC, OTHER))
    assert str(failed.value) == f"no connection to {PUBLIC}: Connection refused, {OTHER}: Connection refused"


def test_only_a_few_of_a_names_thousand_addresses_are_tried() -> None:
    many = [f"8.8.{n // 250}.{n % 250}" for n in range(1000)]
    noted = Noted(*many)
    with pytest.raises(httpcore.ConnectError):
        connect(fixed(*many), noted)
    assert [address for address, _ in noted.called] == many[:MOST_ADDRESSES]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "0", "localhost", "::1", "::ffff:127.0.0.1", "fe80::1%lo"]
)
def test_loopback_is_refused_in_every_spelling(host: str) -> None:
    noted = Noted()
    with pytest.raises((AddressRefused, HostUnknown)):
        connect(resolve, noted, host=host, allowed=["fe80::/10"])
    assert noted.called == []


@pytest.mark.parametrize("host", ["a..b", "x" * 300, "nul\0", "fe80::1%nowhere"])
def test_an_invalid_host_name_has_no_address(host: str) -> None:
    with pytest.raises(HostUnknown):
        connect(resolve, Noted(), host=host)


def test_an_unknown_name_is_reported_as_unknown() -> None:
    def lookup(_: str) -> Sequence[str]:
        raise gaierror(-2, "Name or service not known")

    with pytest.raises(HostUnknown) as unknown:
        connect(lookup, Noted())
    assert str(unknown.value) == "receiver.test leads to no address: Name or service not known"


def test_a_lookup_without_a_result_is_an_unknown_host() -> None:
    with pytest.raises(HostUnknown, match="the lookup found nothing"):
        connect(fixed(), Noted())


def test_hanging_lookups_do_not_delay_other_names() -> None:
    over = threading.Event()

    def lookup(host: str) -> Sequence[str]:
        if host == "dead.test":
            assert over.wait(LIMIT)
        return [PUBLIC]

    async def race() -> None:
        dead = [asyncio.create_task(network.connect_tcp("dead.test", 443)) for _ in range(40)]
        await asyncio.wait_for(network.connect_tcp("receiver.test", 443), timeout=LIMIT)
        assert not any(task.done() for task in dead)
        over.set()
        await asyncio.gather(*dead)

    network = CheckedNetwork(allowed=(), max_answer_bytes=1, resolve=lookup, network=Noted())
    try:
        asyncio.run(race())
    finally:
        over.set()
        network.close()


def test_a_unix_socket_is_refused() -> None:
    network = CheckedNetwork(allowed=[ip_network("0.0.0.0/0")], max_answer_bytes=1, network=Noted())
    with pytest.raises(AddressRefused, match="local"):
        asyncio.run(network.connect_unix_socket("/run/postgresql/.s.PGSQL.5432"))
    network.close()


def test_reads_after_each_write_stop_at_the_limit() -> None:
    async def read() -> None:
        stream = BoundedStream(httpcore.AsyncMockStream([b"12345", b"12345", b"1", b""]), max_answer_bytes=5)
        assert await stream.read(100) == b"12345"
        await stream.write(b"again")
        assert await stream.read(100) == b"12345"
        with pytest.raises(SentTooMuch, match="over 5 bytes"):
            await stream.read(100)

    asyncio.run(read())


def test_the_read_limit_holds_under_tls() -> None:
    async def read() -> None:
        plain = BoundedStream(httpcore.AsyncMockStream([b"123456"]), max_answer_bytes=5)
        stream = await plain.start_tls(ssl.create_default_context(), "receiver.test")
        with pytest.raises(SentTooMuch):
            await stream.read(100)

    asyncio.run(read())


@pytest.mark.parametrize("broken_off", [asyncio.CancelledError(), httpcore.ConnectError("x")])
def test_a_failed_or_interrupted_handshake_leaves_no_connection_open(broken_off: BaseException) -> None:
    class Handshake(httpcore.AsyncMockStream):
        closed = False

        async def start_tls(self, *_: Any) -> httpcore.AsyncNetworkStream:
            if isinstance(broken_off, Exception):
                await self.aclose()  # as httpcore's streams do
            raise broken_off

        async def aclose(self) -> None:
            self.closed = True

    async def begin() -> None:
        stream = Handshake([])
        with pytest.raises(type(broken_off)):
            await BoundedStream(stream, max_answer_bytes=1).start_tls(ssl.create_default_context(), "receiver.test")
        assert stream.closed

    asyncio.run(begin())
