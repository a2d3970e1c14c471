"""The limits on heads and on slow clients, over real sockets; the tests take the samples, not the clock.

Over 300 lines: it holds all tests of one module, whose name it has.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import pytest
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from api.edge import http_connection as protocol
from api.edge.http_connection import HttpProtocol
from api.http.event_stream import FILLER
from api.http.problems import MEDIA_TYPE
from shared.domain.identifiers import is_uuid
from tests.support.waiting import LIMIT

MAX_HEAD, MAX_FIELDS, MAX_TARGET = 4000, 20, 1000
HEAD_SAMPLES = BODY_SAMPLES = ANSWER_SAMPLES = 5
RATE = 100
GET = b"GET /things?token=swordfish HTTP/1.1\r\nHost: h\r\n"
POST = b"POST /things HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass
class App:
    """An app that reads a request's body once it may, answers with it, and notes clients that left."""

    may_read: asyncio.Event = field(default_factory=asyncio.Event)
    answers_first: bool = False
    answer: bytes = b""
    nothing: bytes = b""
    """Filler of its answer, when it is a stream."""
    scopes: list[Scope] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.began.set()
        self.scopes.append(scope)
        if self.nothing:
            scope[FILLER] = self.nothing
        body, more = bytearray(), True
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if self.answers_first:
            await send(start)
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await self.may_read.wait()
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message["body"]
            more = message["more_body"]
        if not self.answers_first:
            await send(start)
        answer = self.answer or b"%s %d bytes" % (scope["method"].encode(), len(body))
        await send({"type": "http.response.body", "body": answer})


class Client:
    """One connection to the server."""

    def __init__(self, state: ServerState, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.state, self.reader, self.writer = state, reader, writer

    async def send(self, data: bytes) -> None:
        """Return when the server has parsed it."""
        self.writer.write(data)
        await self.writer.drain()
        await self.settle()

    async def settle(self) -> None:
        """Return when the server has handled what was sent."""
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(0.002)

    async def sample(self, times: int) -> None:
        """Take so many samples of every connection, as the server does once a second."""
        for _ in range(times):
            for connection in tuple(self.state.connections):
                assert isinstance(connection, HttpProtocol)
                connection.check_timeouts()
        await asyncio.sleep(0.002)

    async def answer(self) -> bytes:
        """Return one answer whole."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        if b"chunked" not in head:
            return head
        return head + await self.reader.readuntil(b"0\r\n\r\n")

    async def half_close(self) -> None:
        """Close the sending half, and return when the server knows it."""
        self.writer.write_eof()
        await self.settle()

    async def rest(self) -> bytes:
        """Return everything until the server closes."""
        return await self.reader.read()


Claim = Callable[[Callable[[], Awaitable[Client]]], Awaitable[None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def serve(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[[App, Claim], None]:
    """Serve an app with small limits and run a claim, which connects as often as it wants.

    Any error that the event loop reports fails the claim.
    """
    complaints: list[dict[str, Any]] = []
    for name, value in {
        "MAX_HEAD_BYTES": MAX_HEAD, "MAX_HEAD_FIELDS": MAX_FIELDS, "MAX_TARGET_BYTES": MAX_TARGET,
        "HEAD_TIMEOUT": HEAD_SAMPLES - 1, "BODY_RATE": RATE, "BODY_PATIENCE": BODY_SAMPLES - 1,
        "ANSWER_PATIENCE": ANSWER_SAMPLES - 1,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"DARKROOM_WIRE_{name}", str(value))
    # Only the tests take samples.
    monkeypatch.setattr(protocol.Connections, "_sample", lambda _: None)

    async def within(app: App, claim: Claim) -> None:
        configuration = Config(app, http="api.edge.http_connection:HttpProtocol", log_config=None, access_log=False)
        configuration.load()
        state, shared = ServerState(), dict[str, Any]()
        made = partial(HttpProtocol, config=configuration, server_state=state, app_state=shared)
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
        clients: list[Client] = []

        async def connect() -> Client:
            streams = await asyncio.open_connection(*server.sockets[0].getsockname())
            clients.append(Client(state, *streams))
            await asyncio.sleep(0.002)
            return clients[-1]

        try:
            async with asyncio.timeout(LIMIT):
                await claim(connect)
        finally:
            app.may_read.set()
            for client in clients:
                client.writer.close()
            server.close()
            while state.tasks or state.connections:  # noqa: ASYNC110  uvicorn has no event for that
                await asyncio.sleep(0.002)

    def run(app: App, claim: Claim) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(within(app, claim))
        assert complaints == []

    return run


def reading() -> App:
    app = App()
    app.may_read.set()
    return app


def expect_problem(answer: bytes, status: int, slug: str, *, path: str = "/things") -> str:
    """Check that an answer is a problem of the contract's form, and return its detail."""
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = dict(one.split(": ") for one in lines)
    assert line.startswith(f"HTTP/1.1 {status} ")
    assert headers["content-type"] == MEDIA_TYPE
    assert headers["content-length"] == str(len(body))
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-request-id"]
    problem: dict[str, Any] = orjson.loads(body)
    assert (problem["type"], problem["status"], problem["instance"]) == (f"/problems/{slug}", status, path)
    assert "swordfish" not in str(problem)
    return str(problem["detail"])


# Heads


@pytest.mark.parametrize("end", [b"\r\n\r\n", b""], ids=["whole", "unfinished"])
@pytest.mark.parametrize(
    ("head", "status", "slug"),
    [
        (GET + b"X: " + b"a" * MAX_HEAD, 431, "header-fields-too-large"),
        (GET + b"a" * MAX_HEAD + b": x", 431, "header-fields-too-large"),
        (GET + b"\r\n".join(b"X-%d: " % n + b"a" * 500 for n in range(9)), 431, "header-fields-too-large"),
        (GET + b"\r\n".join(b"X-%d: a" % n for n in range(MAX_FIELDS + 2)), 431, "header-fields-too-large"),
        (b"GET /things?" + b"a" * MAX_TARGET + b" HTTP/1.1\r\nHost: h", 414, "uri-too-long"),
    ],
    ids=["value", "name", "bytes", "fields", "target"],
)
@pytest.mark.parametrize("pieces", [1, 7])
def test_a_head_over_a_limit_is_refused_however_it_is_split(
    serve: Any, head: bytes, end: bytes, status: int, slug: str, pieces: int
) -> None:
    whole = head + end

    async def claim(connect: Any) -> None:
        client = await connect()
        for n in range(pieces):
            await client.send(whole[len(whole) * n // pieces : len(whole) * (n + 1) // pieces])
        expect_problem(await client.answer() + await client.reader.read(), status, slug)
        assert not app.began.is_set()

    app = reading()
    serve(app, claim)


def test_a_head_at_its_limits_is_served(serve: Any) -> None:
    head = b"GET /?" + b"a" * (MAX_TARGET - 2) + b" HTTP/1.1\r\nHost: h\r\nX: "
    sent = head + b"a" * (MAX_HEAD - MAX_TARGET - len("Host: h\r\nX: \r\n")) + b"\r\n\r\n"
    fields = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(MAX_FIELDS)) + b"\r\n"

    async def claim(connect: Any) -> None:
        client = await connect()
        for request in (sent, fields, sent):
            await client.send(request)
            assert b"GET 0 bytes" in await client.answer()

    serve(reading(), claim)


def test_a_head_pipelined_after_a_large_body_is_not_part_of_it(serve: Any) -> None:
    body = b"Content-Length: 50000\r\n\r\n" + bytes(50_000)
    behind = GET + b"X: " + b"a" * (MAX_HEAD - 200)

    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(POST + body + behind[:300])
        assert b"POST 50000 bytes" in await client.answer()
        await client.send(behind[300:] + b"\r\n\r\n")
        assert b"GET 0 bytes" in await client.answer()
        await client.send(POST + body + behind)
        await client.answer()
        await client.send(b"a" * 2 * MAX_HEAD)
        expect_problem(await client.rest(), 431, "header-fields-too-large")

    serve(reading(), claim)


def test_a_client_that_sends_far_too_much_still_gets_the_answer(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        client.writer.write(GET + b"X: " + b"a" * 5_000_000)
        await client.writer.drain()
        expect_problem(await client.rest(), 431, "header-fields-too-large")

    serve(reading(), claim)


def test_a_refused_client_that_never_stops_sending_is_closed_soon(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(GET + b"X: " + b"a" * MAX_HEAD)
        await client.answer()
        await client.sample(2)
        client.writer.write(b"a" * 1000)
        assert await client.reader.read() is not None
        assert not client.state.connections

    serve(reading(), claim)


@pytest.mark.parametrize("endless", [b"X: " + b"a" * 3 * MAX_HEAD, b"X: a\r\n" * 2 * MAX_FIELDS, b"X" * 2 * MAX_HEAD])
@pytest.mark.parametrize("answers_first", [True, False])
def test_trailers_are_limited_like_heads(serve: Any, endless: bytes, *, answers_first: bool) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(CHUNKED + b"3\r\nabc\r\n0\r\n")
        await client.send(endless)
        rest = await client.rest()
        if answers_first:
            assert rest.endswith(b"begun\r\n")
        else:
            expect_problem(rest, 431, "header-fields-too-large")
        await app.left.wait()

    app = App(answers_first=answers_first)
    app.may_read.set()
    serve(app, claim)


def test_chunk_extensions_are_limited(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(CHUNKED)
        await client.send(b"3;" + b"a" * 2 * MAX_HEAD)
        expect_problem(await client.rest(), 431, "header-fields-too-large")

    serve(reading(), claim)


def test_a_refusal_has_the_requests_own_id_or_a_new_one(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        for header, is_right in ((b"X-Request-ID: mine\r\n", "mine".__eq__), (b"", is_uuid)):
            client = await connect()
            await client.send(GET + header + b"X: " + b"a" * MAX_HEAD + b"\r\n\r\n")
            answer = await client.rest()
            assert is_right(answer.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode())

    serve(reading(), claim)


def test_invalid_http_is_answered_with_a_problem_of_the_contract(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        for sent in (
            b"\x16\x03\x01\x02\x00\x01", b"SWORDFISH / HTTP/1.1\r\n\r\n", b"GET / HTTP/9\r\n\r\n",
            # Accepted by the parser, but no valid request.
            b"CONNECT h:80 HTTP/1.1\r\n\r\n", b"GET http://h HTTP/1.1\r\n\r\n", b"GET http://h:99999/ HTTP/1.1\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\n\r\n", b"GET /a\x01b HTTP/1.1\r\n\r\n", b"GET /a\x7fb HTTP/1.1\r\n\r\n",
        ):  # fmt: skip
            client = await connect()
            await client.send(sent)
            answer = await client.rest()
            assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "/problems/bad-request"

    serve(reading(), claim)


# Time


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\n", GET + b"X: "])
def test_a_head_that_stays_incomplete_times_out(serve: Any, sent: bytes) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(sent)
        await client.sample(HEAD_SAMPLES - 1)
        await client.send(b"E" if sent == b"G" else b"X")
        await client.sample(1)
        answer = await client.rest()
        path = {b"G": "", b"GET / HTTP/1.1\r\n": "/"}.get(sent, "/things")
        assert expect_problem(answer, 408, "request-timeout", path=path) == "the head was not complete within 4 s"

    serve(reading(), claim)


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["at first", "after an answer"])
def test_a_client_that_sends_nothing_or_empty_lines_is_closed(serve: Any, before: bytes) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        if before:
            await client.send(before)
            await client.answer()
        await client.send(b"\r\n")
        await client.sample(HEAD_SAMPLES)
        assert await client.rest() == b""

    serve(reading(), claim)


def test_an_idle_keep_alive_connection_is_closed_by_uvicorn(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        for _ in range(3):
            await client.send(GET + b"\r\n")
            assert b"GET 0 bytes" in await client.answer()
            await client.sample(10 * HEAD_SAMPLES)

    serve(reading(), claim)


@pytest.mark.parametrize(
    "pieces", [[b""], [b"12345"], [b"a" * (RATE - 20)] * BODY_SAMPLES * 9], ids=["none", "5", "80/s"]
)
def test_a_body_that_is_too_slow_times_out_and_the_app_sees_a_disconnect(serve: Any, pieces: list[bytes]) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(POST + b"Content-Length: 1000000\r\n\r\n")
        for piece in pieces:
            if not app.left.is_set():
                await client.send(piece)
                await client.sample(1)
        await client.sample(BODY_SAMPLES)
        detail = expect_problem(await client.rest(), 408, "request-timeout")
        assert detail == f"the body brought less than {RATE} bytes a second for {BODY_SAMPLES - 1} s"
        await app.left.wait()

    app = reading()
    serve(app, claim)


def test_a_body_at_the_required_rate_is_read_completely(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(POST + b"Content-Length: %d\r\n\r\n" % (RATE * 40))
        for _ in range(40):
            await client.sample(1)
            await client.send(b"a" * RATE)
        assert b"POST %d bytes" % (RATE * 40) in await client.answer()

    serve(reading(), claim)


def test_a_body_that_the_server_does_not_read_does_not_time_out(serve: Any) -> None:
    size = 3_000_000

    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(POST + b"Content-Length: %d\r\n\r\n" % size)
        sending = asyncio.create_task(client.send(bytes(size)))
        await app.began.wait()
        await asyncio.sleep(0.01)
        await client.sample(100 * BODY_SAMPLES)
        app.may_read.set()
        await sending
        assert b"POST %d bytes" % size in await client.answer()

    app = App()
    serve(app, claim)


def test_a_client_waiting_for_100_continue_does_not_time_out(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        await client.sample(10 * BODY_SAMPLES)
        app.may_read.set()
        assert await client.answer() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        assert b"POST 3 bytes" in await client.answer()

    app = App()
    serve(app, claim)


def test_a_slow_body_whose_answer_has_begun_gets_no_second_answer(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(POST + b"Content-Length: 1000\r\n\r\n")
        await client.sample(BODY_SAMPLES)
        rest = await client.rest()
        assert rest.startswith(b"HTTP/1.1 200 OK")
        assert rest.endswith(b"begun\r\n")
        await app.left.wait()

    app = App(answers_first=True)
    app.may_read.set()
    serve(app, claim)


def test_a_request_being_answered_has_no_timeout(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(POST + b"Content-Length: 3\r\n\r\nabc" + GET[:20])  # the next one's head has begun
        await client.sample(10 * HEAD_SAMPLES)
        app.may_read.set()
        assert b"POST 3 bytes" in await client.answer()
        await client.send(GET[20:] + b"\r\n")
        assert b"GET 0 bytes" in await client.answer()

    app = App()
    serve(app, claim)


@pytest.mark.parametrize("second", [GET + b"X: " + b"a" * MAX_HEAD, b"no HTTP at all\r\n\r\n"])
def test_a_refusal_is_not_sent_as_the_answer_to_the_earlier_request(serve: Any, second: bytes) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(GET + b"\r\n")
        await client.send(second)
        assert await client.rest() == b""
        app.may_read.set()
        await app.left.wait()

    app = App()
    serve(app, claim)


def test_a_client_that_reads_nothing_of_its_answer_is_closed(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        client.writer.transport.pause_reading()
        await client.send(GET + b"\r\n")
        await client.sample(ANSWER_SAMPLES - 1)
        assert client.state.connections
        await client.sample(1)
        assert not client.state.connections

    app = App(answer=bytes(50_000_000))
    app.may_read.set()
    serve(app, claim)


# Trailers


@pytest.mark.parametrize("chunks", [b"", b"3\r\nabc\r\n", b"1;x=y\r\na\r\n2\r\nbc\r\n"])
@pytest.mark.parametrize("pieces", [1, 3, 60])
def test_trailer_fields_are_not_headers(serve: Any, chunks: bytes, pieces: int) -> None:
    trailer = b"Authorization: Bearer x\r\nHost: evil\r\nContent-Encoding: gzip\r\nX-Request-ID: theirs\r\n"
    sent = CHUNKED + chunks + b"0\r\n" + trailer + b"\r\n"

    async def claim(connect: Any) -> None:
        client = await connect()
        for _ in range(2):  # another request on the same connection begins anew
            for n in range(pieces):
                await client.send(sent[len(sent) * n // pieces : len(sent) * (n + 1) // pieces])
            assert b"POST %d bytes" % (3 if chunks else 0) in await client.answer()
        await client.send(GET + b"X-Late: 1\r\n\r\n")
        await client.answer()
        head = [(b"host", b"h"), (b"transfer-encoding", b"chunked")]
        assert [scope["headers"] for scope in app.scopes] == [head, head, [(b"host", b"h"), (b"x-late", b"1")]]

    app = reading()
    serve(app, claim)


# Half-closed connections


@pytest.mark.parametrize(
    ("requests", "answers"),
    [
        ([GET + b"\r\n"], [b"GET 0 bytes"]),
        ([POST + b"Content-Length: 3\r\n\r\nabc"], [b"POST 3 bytes"]),
        ([CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"], [b"POST 3 bytes"]),
        ([GET + b"\r\n", POST + b"Content-Length: 3\r\n\r\nabc", GET + b"\r\n"],
         [b"GET 0 bytes", b"POST 3 bytes", b"GET 0 bytes"]),
        ([GET.replace(b"1.1", b"1.0") + b"\r\n"], [b"GET 0 bytes"]),
        ([POST + b"Content-Length: 300000\r\n\r\n" + bytes(300_000)], [b"POST 300000 bytes"]),
    ],
    ids=["get", "post", "chunked", "pipelined", "1.0", "large"],
)  # fmt: skip
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_client_that_half_closes_after_its_requests_gets_every_answer(
    serve: Any, requests: list[bytes], answers: list[bytes], when: str
) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        if when == "before":
            app.may_read.set()
        client.writer.write(b"".join(requests))
        await client.half_close()
        await client.sample(10 * HEAD_SAMPLES)
        app.may_read.set()
        rest = await client.rest()
        assert re.findall(rb"[A-Z]+ \d+ bytes", rest) == answers
        assert rest.count(b"HTTP/1.1 200") == len(answers)
        assert not app.left.is_set()

    app = App()
    serve(app, claim)


def test_a_stream_continues_to_its_end_for_a_half_closed_client(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(GET + b"\r\n")
        await client.half_close()
        await client.sample(3)
        app.may_read.set()
        rest = await client.rest()
        assert rest.count(b"3\r\n:\n\n\r\n") == 3
        assert rest.endswith(b"GET 0 bytes\r\n0\r\n\r\n")
        assert not app.left.is_set()

    app = App(answers_first=True, nothing=b":\n\n")
    serve(app, claim)


def test_a_client_that_leaves_a_stream_is_noticed_within_seconds(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(GET + b"\r\n")
        app.may_read.set()
        client.writer.close()
        await client.writer.wait_closed()
        for _ in range(3):
            await client.sample(1)
        assert not client.state.connections

    app = App(answers_first=True, nothing=b":\n\n")
    app.may_read = asyncio.Event()
    serve(app, claim)


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"GET", GET, POST + b"Content-Length: 5\r\n\r\nabc", CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\nX: y\r\n", POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    ],
)  # fmt: skip
def test_a_client_that_half_closes_within_a_request_counts_as_disconnected(serve: Any, sent: bytes) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(sent)
        await client.half_close()
        assert await client.rest() in (b"", b"HTTP/1.1 100 Continue\r\n\r\n")
        if app.began.is_set():
            await app.left.wait()

    app = reading()
    serve(app, claim)


# As before


def test_pipelined_requests_are_answered_in_order(serve: Any) -> None:
    requests = [GET + b"\r\n", POST + b"Content-Length: 5\r\n\r\nabcde", CHUNKED + b"3\r\nabc\r\n0\r\nX: y\r\n\r\n"]

    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(b"".join(requests * 5))
        for _ in range(5):
            for said in (b"GET 0 bytes", b"POST 5 bytes", b"POST 3 bytes"):
                assert said in await client.answer()
        assert client.state.total_requests == 15

    serve(reading(), claim)


def test_an_unsupported_upgrade_is_ignored(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        await client.send(GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n")
        assert b"GET 0 bytes" in await client.answer()

    serve(reading(), claim)


def test_a_request_sent_byte_by_byte_is_served(serve: Any) -> None:
    async def claim(connect: Any) -> None:
        client = await connect()
        for n in CHUNKED + b"3\r\nabc\r\n0\r\n\r\n":
            client.writer.write(bytes([n]))
            await asyncio.sleep(0)
        assert b"POST 3 bytes" in await client.answer()

    serve(reading(), claim)
