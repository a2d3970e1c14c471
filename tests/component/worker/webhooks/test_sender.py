"""Single attempts against real servers on loopback that behave as badly as a receiver can.

Over 300 lines: each test has a receiver that behaves in another way; the sender is the same.
"""

import asyncio
import contextlib
import gzip
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.waiting import PATIENCE
from tests.support.waiting import until_async as until
from worker.webhooks.sender import Answer, Sender, read_retry_after

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
# Far more than sockets' buffers hold, far less than an endless answer would send in the time.
BUFFERED = 32 * 1024 * 1024


class Receiver:
    """A server on loopback, each connection in the hands of a handler; what the handler raises ends the connection."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.open = 0
        self.port = 0
        self._handler = handler
        self._tls = tls
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._handle(reader, writer)))

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await self._handler(reader, writer)
        self.open -= 1
        writer.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = (line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    return head + await reader.readexactly(int(length))


def answering(*answers: bytes, seen: list[bytes] | None = None) -> Handler:
    """Answer each request with the same bytes, in parts; hold the connection open."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if seen is not None:
                seen.append(request)
            for part in answers:
                writer.write(part)
                await writer.drain()

    return handle


def closing(*answers: bytes) -> Handler:
    """Answer one request and close the connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"".join(answers))
        await writer.drain()

    return handle


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request and answer nothing until the other side closes."""
    await reader.read()
    writer.close()


class Pushing:
    """Sends `start`, then `more` repeatedly as long as it is read; `pushed` counts the bytes."""

    def __init__(self, start: bytes, more: bytes) -> None:
        self.pushed = 0
        self.ended = False
        self._start = start
        self._more = more

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(self._start)
        try:
            while True:
                writer.write(self._more)
                self.pushed += len(self._more)
                await writer.drain()
        finally:
            self.ended = True


def a_sender(**rest: Any) -> Sender:
    """Return a sender that resolves every name to 127.0.0.1, may call it, and trusts no certificate."""
    usual: dict[str, Any] = {
        "allowed": [ip_network("127.0.0.0/8")],
        "resolve": lambda _: ["127.0.0.1"],
        "now": lambda: NOW,
        "ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # the usual authorities take 20 ms to load
    }
    return Sender(**(usual | rest))


@contextlib.asynccontextmanager
async def closed_after(sender: Sender) -> Any:
    try:
        yield sender
    finally:
        await sender.aclose()


def send(sender: Sender, url: str, **headers: str) -> Awaitable[Answer]:
    return sender.send(url, body=b'{"id": "1"}', headers=headers)


def call(url: str, **rest: Any) -> Answer:
    """Make one attempt at a URL with a sender of its own."""

    async def run() -> Answer:
        async with closed_after(a_sender(**rest)) as sender:
            return await send(sender, url)

    return asyncio.run(run())


def post(
    handler: Handler, *, path: str = "/hook", host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, **rest: Any
) -> Answer:
    """Make one attempt at a receiver with a sender of its own."""

    async def run() -> Answer:
        async with Receiver(handler, tls=tls) as receiver, closed_after(a_sender(**rest)) as sender:
            return await send(sender, receiver.url(path, host=host))

    return asyncio.run(run())


def failed(status: int, *fields: str, body: bytes = b"") -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status} X", *fields, f"Content-Length: {len(body)}"])
    return head.encode() + b"\r\n\r\n" + body


def check_storable(answer: Answer) -> None:
    assert (answer.error is None) == (answer.status is not None and 200 <= answer.status < 300)
    assert answer.error is None or (0 < len(answer.error) <= 500 and answer.error.isprintable())
    assert "\0" not in answer.response
    answer.response.encode()


# What is sent.


def test_a_request_is_a_post_of_the_body_with_the_headers_given() -> None:
    seen: list[bytes] = []

    async def run() -> None:
        async with Receiver(answering(OK, seen=seen)) as receiver, closed_after(a_sender()) as sender:
            url = receiver.url("/a;b=c/d%20e;f?x=1&y=%2F#fragment", host="Receiver.test")
            answer = await sender.send(url, body=b"{}", headers={"webhook-id": "msg_1"})
            assert (answer.status, answer.error, answer.response, answer.retry_after) == (200, None, "", None)
            assert answer.milliseconds > 0
            head, _, body = seen[0].partition(b"\r\n\r\n")
            assert body == b"{}"
            assert head.decode().split("\r\n") == [
                "POST /a;b=c/d%20e;f?x=1&y=%2F HTTP/1.1",
                f"Host: receiver.test:{receiver.port}",
                "User-Agent: Darkroom-Webhooks/1",
                "Content-Type: application/json",
                "Content-Length: 2",
                "Accept-Encoding: identity",
                "webhook-id: msg_1",
            ]

    asyncio.run(run())


def test_a_user_and_password_are_never_sent() -> None:
    seen: list[bytes] = []
    assert post(answering(OK, seen=seen), host="user:secret@receiver.test").status == 200
    assert b"authorization" not in seen[0].lower()
    assert b"user" not in seen[0].lower().replace(b"user-agent", b"")
    assert b"secret" not in seen[0]


def test_an_ipv6_host_is_named_in_brackets() -> None:
    seen: list[bytes] = []
    looked_up: list[str] = []

    def lookup(host: str) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    post(answering(OK, seen=seen), host="[2606:4700::1111]", resolve=lookup)
    assert looked_up == ["2606:4700::1111"]
    assert b"\r\nHost: [2606:4700::1111]:" in seen[0]


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(answering(OK)).status == 200


# What is answered.


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_success(status: int) -> None:
    answer = post(answering(f"HTTP/1.1 {status} X\r\n".encode() + b"Content-Length: 0\r\n\r\n"))
    assert (answer.status, answer.error, answer.response) == (status, None, "")


def test_the_body_of_a_success_is_not_stored() -> None:
    answer = post(answering(b"HTTP/1.1 200 OK\r\nRetry-After: 5\r\nContent-Length: 3\r\n\r\nyes"))
    assert (answer.response, answer.retry_after) == ("", None)


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503, 999])
def test_any_other_status_is_an_error_with_the_bodys_beginning(status: int) -> None:
    answer = post(answering(failed(status, body=b"out of \xc3\xa4pples \xff\0!")))
    assert (answer.status, answer.error) == (status, f"answered {status}")
    assert answer.response == "out of äpples \ufffd!"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    async def run() -> None:
        async with Receiver(answering(OK)) as elsewhere:
            redirect = answering(failed(status, f"Location: {elsewhere.url()}"))
            async with Receiver(redirect) as receiver, closed_after(a_sender()) as sender:
                answer = await send(sender, receiver.url())
            assert (answer.status, answer.error) == (status, f"answered {status}; redirects are not followed")
            assert elsewhere.connections == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("Retry-After: 120", 120),
        ("retry-after:7", 7),
        ("Retry-After: Sun, 01 Jun 2025 12:01:00 GMT", 60),
        ("Retry-After: Sun, 01 Jun 2025 11:00:00 GMT", 0),
        ("Retry-After: soon", None),
        ("X: y", None),
    ],
)
def test_a_failed_answers_retry_after_is_returned(field: str, seconds: int | None) -> None:
    answer = post(answering(failed(429, field)))
    assert answer.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def test_a_compressed_body_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    answer = post(answering(failed(500, "Content-Encoding: gzip", body=bomb)))
    assert (answer.status, answer.error) == (500, "answered 500")
    assert len(answer.response.encode()) <= 64 * 1024
    assert answer.response.startswith("\x1f\ufffd")


@pytest.mark.parametrize("size", [99, 100, 101, 100_000])
def test_a_failed_answers_body_is_kept_up_to_the_limit(size: int) -> None:
    answer = post(answering(failed(500, body=b"x" * size)), max_response_bytes=100)
    assert answer.response == "x" * min(size, 100)


@pytest.mark.parametrize("letter", [b"\xff", "ä".encode(), "😀".encode()])
def test_the_body_limit_counts_stored_bytes(letter: bytes) -> None:
    answer = post(answering(failed(500, body=b"x" + letter * 100)), max_response_bytes=100)
    assert 97 <= len(answer.response.encode()) <= 100


def test_a_chunked_body_is_read() -> None:
    head = b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert post(answering(head, b"3\r\nabc\r\n", b"3;x=y\r\ndef\r\n", b"0\r\n\r\n")).response == "abcdef"


# What goes wrong.

LIMITS = [timedelta(seconds=seconds) for seconds in (0.3, 3, 30)]
"""For what has to come within a limit that another part outlasts: the next where this machine was too slow for one."""


def test_a_slow_receiver_is_waited_for() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for byte in OK:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.005)

    assert post(slow, timeout=timedelta(seconds=30)).status == 200


def test_a_receiver_that_never_answers_times_out() -> None:
    answer = post(never, timeout=timedelta(seconds=0.2))
    assert (answer.status, answer.error) == (None, "no HTTP answer within 0.2 s")
    assert 200 <= answer.milliseconds < 10_000


@pytest.mark.parametrize("part", [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_incomplete_head_is_no_answer(part: bytes) -> None:
    assert post(answering(part), timeout=timedelta(seconds=0.2)).error == "no HTTP answer within 0.2 s"


@pytest.mark.parametrize(("status", "error"), [(200, None), (500, "answered 500")])
def test_a_body_that_never_ends_does_not_change_the_verdict(status: int, error: str | None) -> None:
    part = f"HTTP/1.1 {status} X\r\nContent-Length: 100\r\n\r\nhalf".encode()
    for limit in LIMITS:
        answer = post(answering(part), timeout=limit)
        if answer.status is not None:  # else the head too took longer than that
            break
    assert (answer.status, answer.error, answer.response) == (status, error, "half" if error else "")
    answer = post(closing(part))
    assert (answer.status, answer.error, answer.response) == (status, error, "half" if error else "")


def test_a_receiver_that_reads_nothing_times_out() -> None:
    async def blocked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    async def run() -> None:
        async with Receiver(blocked) as receiver, closed_after(a_sender(timeout=timedelta(seconds=0.3))) as sender:
            answer = await sender.send(receiver.url(), body=b"x" * 30_000_000, headers={})
            assert answer.error == "no HTTP answer within 0.3 s"

    asyncio.run(run())


def test_a_closed_port_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    answer = call(f"http://receiver.test:{port}/")
    assert (answer.status, answer.error) == (None, "no HTTP answer within 15 s")
    assert answer.reason == "no connection to 127.0.0.1: Connection refused"


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request, then reset the connection (RST)."""
    await read_request(reader)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def test_a_reset_connection_is_no_answer() -> None:
    answer = post(reset)
    assert (answer.status, answer.error) == (None, "no HTTP answer within 15 s")
    assert answer.reason == "the connection broke before there was an answer"


def test_a_connection_closed_without_an_answer_is_an_error() -> None:
    answer = post(closing())
    assert (answer.status, answer.error) == (None, "no HTTP answer within 15 s")
    assert answer.reason == "RemoteProtocolError: Server disconnected without sending a response."


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\0\1\2\3\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 099 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"x" * 100_000 + b"\r\n\r\n",
        "HTTP/1.1 \u2028\x85".encode("utf-16") + b"\r\n\r\n",
    ],
)
def test_invalid_http_is_no_answer(garbage: bytes) -> None:
    answer = post(closing(garbage))
    assert answer.status is None
    assert answer.error == "no HTTP answer within 15 s"
    assert answer.reason
    assert answer.reason.startswith("RemoteProtocolError: ")
    check_storable(answer)


@given(st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=100).map(lambda rest: b"HTTP/1.1 " + rest),
    st.binary(max_size=100).map(lambda rest: b"HTTP/1.1 500 X\r\n" + rest),
    st.binary(max_size=100).map(lambda rest: b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n" + rest),
    st.binary(max_size=100).map(lambda rest: b"HTTP/1.1 429 X\r\nRetry-After: " + rest + b"\r\n\r\n"),
))  # fmt: skip
@settings(max_examples=150)
def test_whatever_a_receiver_sends_the_result_can_be_stored(sent: bytes) -> None:
    check_storable(post(closing(sent)))


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"\r\n", b"x" * 65536),
        (b"Content-Length: 1000000000000\r\n\r\n", b"x" * 65536),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        # A byte of body for a kilobyte.
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"n" * 1024 + b"\r\nx\r\n"),
    ],
)
def test_an_endless_body_is_read_up_to_the_limit_and_no_further(status: int, head: bytes, more: bytes) -> None:
    async def run() -> None:
        pushing = Pushing(f"HTTP/1.1 {status} X\r\n".encode() + head, more)
        sender = a_sender(max_response_bytes=1000, timeout=timedelta(seconds=60))
        async with Receiver(pushing) as receiver, closed_after(sender):
            answer = await send(sender, receiver.url())
            assert answer.status == status
            assert 0 <= len(answer.response) <= 1000
            assert answer.milliseconds < 30_000
            await until(lambda: pushing.ended)  # the connection was closed
            assert pushing.pushed < BUFFERED
        check_storable(answer)

    asyncio.run(run())


def test_reading_ends_at_the_limit_without_waiting_for_more() -> None:
    part = b"HTTP/1.1 500 X\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100
    answer = post(answering(part), max_response_bytes=100, timeout=timedelta(seconds=60))
    assert answer.response == "x" * 100
    assert answer.milliseconds < 30_000


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"name: value\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nname:", b"x" * 65536),
        (b"", b"x" * 65536),
    ],
)
def test_an_endless_head_is_not_read_to_the_end(start: bytes, more: bytes) -> None:
    async def run() -> None:
        pushing = Pushing(start, more)
        async with Receiver(pushing) as receiver, closed_after(a_sender(timeout=timedelta(seconds=60))) as sender:
            answer = await send(sender, receiver.url())
            assert answer.status is None
            assert answer.milliseconds < 30_000
            await until(lambda: pushing.ended)
            assert pushing.pushed < BUFFERED
        check_storable(answer)

    asyncio.run(run())


def test_endless_interim_answers_are_an_error() -> None:
    answer = post(Pushing(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), timeout=timedelta(seconds=60))
    assert answer.error == "over 327680 bytes came and no whole answer"


def test_an_unrequested_switch_of_protocols_is_no_answer() -> None:
    answer = post(answering(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"))
    assert answer.status is None
    assert answer.error == "no HTTP answer within 15 s"
    assert answer.reason
    assert answer.reason.startswith("RemoteProtocolError: ")


# Forbidden and invalid URLs.


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1:9/", "127.0.0.1 leads to no address that may be called"),
        ("http://[::1]:9/", "::1 leads to no address that may be called"),
        ("http://2130706433/", "2130706433 leads to no address that may be called"),
        ("https://169.254.169.254/latest", "169.254.169.254 leads to no address that may be called"),
        ("ftp://8.8.8.8/", "the URL can't be called: it begins with neither https:// nor http://"),
        ("file:///etc/passwd", "the URL can't be called: it begins with neither https:// nor http://"),
        ("ws://8.8.8.8/", "the URL can't be called: it begins with neither https:// nor http://"),
        ("", "the URL can't be called: it begins with neither https:// nor http://"),
        ("http://", "the URL can't be called: it names no host"),
        ("http:///x", "the URL can't be called: it names no host"),
        ("http://8.8.8.8:0/", "the URL can't be called: it names no host"),
        ("http://8.8.8.8:99999/", "the URL can't be called: Port out of range 0-65535"),
        ("http://8.8.8.8:x/", "the URL can't be called: Port could not be cast to integer value as 'x'"),
        ("http://[::1/", "the URL can't be called: Invalid IPv6 URL"),
        ("http://bücher.test/", "the URL can't be called: it holds a character outside ASCII"),
        ("http://a..b/", "a..b leads to no address that may be called"),
        ("http://fe80::1%lo/", "the URL can't be called: "),
        ("http://[fe80::1%25lo]/", "fe80::1%25lo leads to no address that may be called"),
    ],
)
def test_a_forbidden_or_invalid_url_is_an_error_with_a_reason(url: str, error: str) -> None:
    async def run() -> Answer:
        async with closed_after(Sender(timeout=timedelta(seconds=20))) as sender:
            return await send(sender, url)

    answer = asyncio.run(run())
    assert answer.status is None
    assert answer.error
    assert answer.error.startswith(error)
    check_storable(answer)


@given(st.one_of(st.text(max_size=50), st.text(max_size=50).map(lambda rest: "http://" + rest)))
@settings(max_examples=150)
def test_whatever_the_url_is_the_result_can_be_stored(url: str) -> None:
    async def run() -> Answer:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loads no authorities, which takes 20 ms
        async with closed_after(Sender(resolve=lambda _: ["10.0.0.1"], ssl_context=tls)) as sender:
            return await send(sender, url)

    check_storable(asyncio.run(run()))


def test_a_name_whose_address_changes_is_not_called_at_the_new_one() -> None:
    """The receiver is at 127.0.0.1, where nobody may call; its name leads to an address that is allowed, once."""
    lookups = []

    def lookup(host: str) -> Sequence[str]:
        lookups.append(host)
        return ["127.0.0.2"] if len(lookups) == 1 else ["127.0.0.1"]

    async def run() -> None:
        sender = a_sender(resolve=lookup, allowed=[ip_network("127.0.0.2/32")])
        async with Receiver(answering(OK)) as receiver, closed_after(sender):
            first = await send(sender, receiver.url(host="receiver.test"))
            assert len(lookups) == 1
            second = await send(sender, receiver.url(host="receiver.test"))
            assert (first.status, receiver.connections) == (None, 0)
            assert second.error == "receiver.test leads to no address that may be called"
            assert second.reason == "receiver.test leads to 127.0.0.1 (loopback), which must not be called"

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/a b", "/\x01", "/?\x7f"])
def test_a_target_that_http_cannot_carry_is_an_error_with_a_reason(path: str) -> None:
    answer = post(answering(OK), path=path)
    assert answer.status is None
    assert answer.error
    assert answer.error.startswith("the URL can't be called: ")
    check_storable(answer)


def test_an_unexpected_exception_ends_the_attempt_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def lookup(host: str) -> Sequence[str]:
        raise KeyError(host)

    with caplog.at_level(logging.ERROR):
        assert call("http://receiver.test/", resolve=lookup).error == "the attempt broke"
    (record,) = caplog.records
    assert (record.getMessage(), bool(record.exc_info)) == ("attempt_broke", True)


# What the owner sees.


def looked_up(*found: str | OSError) -> Callable[[str], Sequence[str]]:
    def lookup(_: str) -> Sequence[str]:
        if isinstance(found[0], OSError):
            raise found[0]
        return [str(one) for one in found]

    return lookup


@pytest.mark.parametrize(
    "found",
    [("10.1.2.3",), ("169.254.169.254",), ("168.63.129.16",), ("fd00::7", "192.168.1.9"), ("::ffff:10.1.2.3",), (),
     (OSError(-2, "Name or service not known"),), (OSError(-3, "Temporary failure in name resolution"),)],
    ids=str,
)  # fmt: skip
def test_the_owner_cannot_tell_an_internal_name_from_an_unknown_one(found: tuple[str | OSError, ...]) -> None:
    lookup = looked_up(*found) if found else lambda _: []
    answer = call("http://jenkins.corp/", allowed=(), resolve=lookup)
    assert (answer.status, answer.error) == (None, "jenkins.corp leads to no address that may be called")
    assert (answer.shown_milliseconds, answer.response) == (0, "")
    assert answer.reason
    assert all(str(one) in answer.reason for one in found if isinstance(one, str))


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "handler",
    [reset, hang_up, answering(b"SSH-2.0-OpenSSH_9.9\r\n"), answering(b"-ERR unknown command\r\n"), None],
    ids=["resets", "hangs up", "SSH", "Redis", "closed"],
)
def test_the_owner_is_not_told_what_is_at_a_port(scheme: str, handler: Handler | None) -> None:
    async def run() -> Answer:
        async with (
            Receiver(handler or never) as receiver,
            closed_after(a_sender(timeout=timedelta(seconds=0.2))) as sender,
        ):
            url = receiver.url().replace("http:", f"{scheme}:")
            if handler:
                return await send(sender, url)
        async with closed_after(a_sender(timeout=timedelta(seconds=0.2))) as sender:
            return await send(sender, url)

    answer = asyncio.run(run())
    assert (answer.status, answer.error, answer.response, answer.shown_milliseconds) == (
        None,
        "no HTTP answer within 0.2 s",
        "",
        0,
    )
    assert answer.milliseconds > 0


def test_a_connect_timeout_is_reported_like_a_closed_port() -> None:
    """A port behind a filter: nothing comes back. The backlog of one that accepts nobody is full at once."""
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)  # noqa: FBT003  the library's own
            one.connect_ex(full.getsockname())
        answer = call(f"http://receiver.test:{full.getsockname()[1]}/", timeout=timedelta(seconds=0.3))
    assert (answer.status, answer.error, answer.shown_milliseconds) == (None, "no HTTP answer within 0.3 s", 0)


def test_the_error_names_none_of_several_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    answer = call(f"http://receiver.test:{port}/", resolve=looked_up("10.9.8.7", "127.0.0.1", "127.0.0.2"))
    assert answer.error == "no HTTP answer within 15 s"
    assert answer.reason == "no connection to 127.0.0.1: Connection refused, 127.0.0.2: Connection refused"


# TLS.


class Authority:
    """A certificate authority; `server` makes a server's side for a name, `client` a client's that trusts it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test authority")])
        self._certificate = self._sign(
            self._name, self._key.public_key(), [x509.BasicConstraints(ca=True, path_length=None)]
        )

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self._pem(self._certificate).decode())

    def server(self, name: str, asked_for: list[str | None] | None = None) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), [x509.SubjectAlternativeName([x509.DNSName(name)])])
        file = self._directory / f"{name}.pem"
        file.write_bytes(
            self._pem(certificate)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        if asked_for is not None:
            context.sni_callback = lambda _socket, asked, _context: asked_for.append(asked)
        return context

    def _sign(self, subject: x509.Name, key: Any, extensions: Sequence[x509.ExtensionType]) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(days=1),
            not_valid_after=now + timedelta(days=1),
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    @staticmethod
    def _pem(certificate: x509.Certificate) -> bytes:
        return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_the_certificate_is_verified_for_the_urls_name_sent_as_sni(authority: Authority) -> None:
    asked_for: list[str | None] = []
    tls = authority.server("receiver.test", asked_for)
    answer = post(answering(OK), host="receiver.test", tls=tls, ssl_context=authority.client())
    assert (answer.status, answer.error) == (200, None)
    assert asked_for == ["receiver.test"]


def test_a_certificate_for_another_name_is_refused(authority: Authority) -> None:
    tls = authority.server("other.test")
    answer = post(answering(OK), host="receiver.test", tls=tls, ssl_context=authority.client())
    assert answer.status is None
    assert answer.error == (
        "no TLS with receiver.test: the certificate was refused, "
        "Hostname mismatch, certificate is not valid for 'receiver.test'"
    )


def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    seen: list[bytes] = []
    tls = authority.server("receiver.test")
    answer = post(answering(OK, seen=seen), host="receiver.test", tls=tls, ssl_context=None)
    assert answer.status is None
    assert answer.error
    assert answer.error.startswith("no TLS with receiver.test: the certificate was refused, ")
    assert seen == []


def test_plain_http_in_place_of_tls_is_no_answer() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()

    async def run() -> None:
        async with Receiver(plain) as receiver, closed_after(a_sender()) as sender:
            answer = await send(sender, receiver.url().replace("http:", "https:"))
            assert answer.error == "no HTTP answer within 15 s"
            assert answer.reason == "no TLS with 127.0.0.1: wrong version number"

    asyncio.run(run())


def test_a_hanging_handshake_times_out_and_its_connection_is_closed() -> None:
    async def run() -> None:
        sender = a_sender(timeout=timedelta(seconds=0.2))
        async with Receiver(never) as receiver, closed_after(sender):
            answer = await send(sender, receiver.url().replace("http:", "https:"))
            assert (answer.error, answer.reason) == ("no HTTP answer within 0.2 s", "timed out")
            await until(lambda: receiver.open == 0)

    asyncio.run(run())


# ConnectionPool.


@pytest.mark.parametrize("answer", [OK, failed(500, body=b"no"), failed(301)])
def test_two_attempts_share_a_connection(answer: bytes) -> None:
    async def run() -> None:
        async with Receiver(answering(answer)) as receiver, closed_after(a_sender()) as sender:
            for _ in range(3):
                assert (await send(sender, receiver.url())).status is not None
            assert receiver.connections == 1

    asyncio.run(run())


def test_two_attempts_share_a_connection_under_tls(authority: Authority) -> None:
    async def run() -> None:
        tls, sender = authority.server("receiver.test"), a_sender(ssl_context=authority.client())
        async with Receiver(answering(OK), tls=tls) as receiver, closed_after(sender):
            for _ in range(3):
                assert (await send(sender, receiver.url(host="receiver.test"))).status == 200
            assert receiver.connections == 1

    asyncio.run(run())


def test_a_name_does_not_reuse_another_names_connection() -> None:
    async def run() -> None:
        async with Receiver(answering(OK)) as receiver, closed_after(a_sender()) as sender:
            for host in ("one.test", "two.test", "one.test"):
                assert (await send(sender, receiver.url(host=host))).status == 200
            assert receiver.connections == 2

    asyncio.run(run())


@pytest.mark.parametrize("answer", [OK, failed(500)])
def test_a_connection_closed_by_the_receiver_is_not_reused(answer: bytes) -> None:
    async def run() -> None:
        async with Receiver(closing(answer)) as receiver, closed_after(a_sender()) as sender:
            for _ in range(3):
                assert (await send(sender, receiver.url())).status is not None
                await until(lambda: receiver.open == 0)
                await asyncio.sleep(0.02)  # the end arrives
            assert receiver.connections == 3

    asyncio.run(run())


def test_idle_connections_count_towards_the_maximum() -> None:
    async def run() -> None:
        async with Receiver(answering(OK)) as receiver, closed_after(a_sender(max_connections=3)) as sender:
            for number in range(10):
                assert (await send(sender, receiver.url(host=f"h{number}.test"))).status == 200
                await until(lambda: receiver.open <= 3)
            assert receiver.open == 3
            # The last three are kept.
            for number in (7, 8, 9):
                assert (await send(sender, receiver.url(host=f"h{number}.test"))).status == 200
            assert receiver.connections == 10

    asyncio.run(run())


def test_concurrent_attempts_are_limited_by_the_connections() -> None:
    most = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        most = max(most, receiver.open)
        await read_request(reader)
        await asyncio.sleep(0.02)
        writer.write(OK)
        await reader.read()

    receiver = Receiver(counted)

    async def run() -> None:
        async with receiver, closed_after(a_sender(max_connections=3)) as sender:
            urls = [receiver.url(host=f"h{number}.test") for number in range(12)]
            answers = await asyncio.gather(*(send(sender, url) for url in urls))
            assert [answer.status for answer in answers] == [200] * 12

    asyncio.run(run())
    assert 1 < most <= 4  # the server may hear of a close after the next connection


def test_waiting_for_a_connection_takes_no_time_from_the_attempt() -> None:
    async def run(limit: timedelta) -> bool:
        sender = a_sender(max_connections=1, timeout=limit)
        async with Receiver(never) as hanging, Receiver(answering(OK)) as receiver, closed_after(sender):
            *lost, answer = await asyncio.gather(
                send(sender, hanging.url()), send(sender, hanging.url()), send(sender, receiver.url())
            )
            assert [one.error for one in lost] == [f"no HTTP answer within {limit.total_seconds():g} s"] * 2
            return answer.status == 200

    assert any(asyncio.run(run(limit)) for limit in LIMITS)


def test_hanging_receivers_do_not_use_up_the_connections() -> None:
    async def run() -> None:
        sender = a_sender(max_connections=4, timeout=timedelta(seconds=0.2))
        async with Receiver(never) as hanging, Receiver(answering(OK)) as receiver:
            async with closed_after(sender):
                answers = await asyncio.gather(*(send(sender, hanging.url()) for _ in range(12)))
                assert {answer.error for answer in answers} == {"no HTTP answer within 0.2 s"}
                await until(lambda: hanging.open == 0)
                sender._timeout = PATIENCE
                assert (await send(sender, receiver.url())).status == 200
            await until(lambda: receiver.open == 0)

    asyncio.run(run())


def test_an_attempt_that_is_canceled_leaves_no_connection_open() -> None:
    async def run() -> None:
        async with Receiver(never) as receiver, closed_after(a_sender()) as sender:
            attempt = asyncio.ensure_future(send(sender, receiver.url()))
            await until(lambda: receiver.open == 1)
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            await until(lambda: receiver.open == 0)

    asyncio.run(run())


def test_closing_lets_an_attempt_under_way_end_and_closes_its_connection() -> None:
    async def run() -> None:
        go_on = asyncio.Event()

        async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            await go_on.wait()
            writer.write(OK)
            await reader.read()

        async with Receiver(held) as receiver:
            sender = a_sender()
            attempt = asyncio.ensure_future(send(sender, receiver.url()))
            await until(lambda: receiver.open == 1)
            await sender.aclose()
            go_on.set()
            assert (await attempt).status == 200
            await until(lambda: receiver.open == 0)

    asyncio.run(run())


# Retry-After.


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 5 ", 5),
        ("007", 7),
        ("86400", 86400),
        ("86401", 86400),
        ("9" * 5000, 86400),
        ("0" * 5000 + "3", 3),
        ("Sun, 01 Jun 2025 12:00:30 GMT", 30),
        ("Sunday, 01-Jun-25 12:00:30 GMT", 30),
        ("Sun Jun  1 12:00:30 2025", 30),
        ("Sun, 01 Jun 2025 11:59:59 GMT", 0),
        ("Mon, 01 Jun 2099 12:00:00 GMT", 86400),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_a_day(value: str, seconds: int) -> None:
    assert read_retry_after(value, now=NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [None, "", "soon", "-5", "1.5", "5s", "0x10", "1e3", "٣", "12 34", "5, 6", "Sun, 99 Jun 2025 12:00:30 GMT",
     "Sun, 01 Jun 99999999999999999999 12:00:30 GMT", "Sun, 01 Jun 2025 12:00:30 +99999999999999"],
)  # fmt: skip
def test_a_retry_after_that_cannot_be_read_is_ignored(value: str | None) -> None:
    assert read_retry_after(value, now=NOW) is None


@given(st.one_of(st.text(max_size=40), st.text("0123456789: ,-+JunSGMT", max_size=40)))
def test_retry_after_reads_anything_without_an_error(value: str) -> None:
    pause = read_retry_after(value, now=NOW)
    assert pause is None or timedelta(0) <= pause <= timedelta(hours=24)
