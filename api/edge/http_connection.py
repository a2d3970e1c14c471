"""uvicorn's HTTP protocol with limits on the size of a request's head and on how slow a client may be.

uvicorn itself has neither. `api/server.py` serves with this class. What is used of uvicorn's own members is here alone,
and listed in tests/unit/api/test_server.py.

A request costs 1 µs more than with uvicorn's own class; timeouts are checked once a second for all connections
together, 2 µs each.
"""

import asyncio
import logging
from collections import Counter
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import is_ssl
from uvicorn.server import ServerState

from api.edge.deadlines import PERIOD, Awaited, ConnectionTimeouts
from api.edge.response_headers import complete
from api.http import problem_kinds as kinds
from api.http import problems
from api.http.event_stream import FILLER
from api.http.problem_kinds import Kind
from api.http.request_facts import REQUEST_ID_HEADER, client_request_id
from shared import settings
from shared.domain.identifiers import new_uuid7

log = logging.getLogger(__name__)

STATE: Final = "wire"
"""Key of a request's `state` under which the server's Connections are found."""
# Closing while the client still sends would reset the connection, and the answer with it (RFC 9112, section 9.6).
LINGER: Final = timedelta(seconds=2)
_LONGEST_PATH: Final = 200


class _HeadRefused(Exception):
    """Stops the parser in the middle of a head."""


class Connections:
    """All connections of one server; their timeouts are checked once a second."""

    def __init__(self, connections: set[Any], *, limits: settings.Wire, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self.ended: Counter[str] = Counter()
        """Connections ended for slowness since the last check, by what they were waited for."""
        self._connections = connections
        self._loop = loop
        self._sample()

    def _sample(self) -> None:
        self._loop.call_later(PERIOD.total_seconds(), self._sample)
        for connection in tuple(self._connections):
            if isinstance(connection, HttpProtocol):
                connection.check_timeouts()
        if self.ended:
            # One log line a second at most, however many connections were ended.
            log.info("slow_clients_ended", extra=dict(self.ended))
            self.ended.clear()

    def break_off(self, state: dict[str, Any]) -> None:
        """Close the connection of the request with this state; the client sees that its answer is not complete."""
        for connection in tuple(self._connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and cycle.scope["state"] is state:
                cycle.disconnected = True
                connection.transport.close()


def break_off(scope: Scope) -> None:
    """Close a request's connection in the middle of its answer; without effect on another server's, as in tests."""
    state = scope.get("state", {})
    if STATE in state:
        state[STATE].break_off(state)


class HttpProtocol(HttpToolsProtocol):
    """One connection. Methods that every request calls name their parent class: `super()` takes 0.1 µs.

    Bytes are counted by reads of the socket (at most 256 KB each): a complete head is held to its limits exactly, an
    incomplete one may be one read longer.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        if STATE not in app_state:
            limits = settings.read(settings.Wire)
            app_state[STATE] = Connections(server_state.connections, limits=limits, loop=self.loop)
        self._all: Connections = app_state[STATE]
        self._limits = self._all.limits
        self._max_head_bytes = self._limits.max_head_bytes
        self._timeouts = ConnectionTimeouts(self._limits)
        self._in_body = False
        self._unfinished = False
        """Whether the last read ended in the middle of a request."""
        self._read = 0
        """Size of the last read, in bytes."""
        self._since = 0
        """Bytes since the read in which the head began, that read included, or since the body last grew."""
        self._of_others = 0
        """How many of these may belong to the request before."""
        self._body_bytes = 0
        self._refusal: tuple[Kind, str] | None = None
        self._lingers: timedelta | None = None
        self._half_closed = False

    def data_received(self, data: bytes) -> None:
        """Parse the bytes that arrived."""
        if self._lingers is not None:
            return
        self._read = size = len(data)
        if self._unfinished:
            self._since += size
        else:
            self._since, self._of_others = size, 0
        HttpToolsProtocol.data_received(self, data)
        self._unfinished = self._in_body or self._in_head
        if self._unfinished and self._lingers is None and not self.transport.is_closing():
            self._bound_unfinished()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for an answer, uvicorn gives none
        """Tell whether the connection stays open after the client closed its half: while complete requests wait.

        A client that has gone seems the same. A body that is cut off is never answered; writing to a client that has
        gone ends the connection; into a silent stream bytes are written once a second to find out (`check_timeouts`).
        """
        cycle = self.cycle
        if self._in_body or cycle is None or cycle.response_complete or self._lingers is not None:
            return False
        # This was the last request: the connection ends with its answer.
        cycle.keep_alive = False
        self._half_closed = not is_ssl(self.transport)
        return self._half_closed

    @property
    def _in_head(self) -> bool:
        return not self._in_body and self.scope is not None and "method" not in self.scope

    def on_headers_complete(self) -> None:
        """Hold a complete head to its limits; the parser stops at one that is refused."""
        if len(self.url) > self._limits.max_target_bytes:
            self._refuse_target()
        elif len(self.headers) > self._limits.max_head_fields:
            self._refuse_fields()
        elif self._since > self._max_head_bytes and self._head_bytes() > self._max_head_bytes:
            self._refuse_bytes()
        if self._refusal:
            raise _HeadRefused
        HttpToolsProtocol.on_headers_complete(self)
        self._in_body, self._since = True, 0

    def on_chunk_header(self) -> None:
        """Keep the trailer fields behind a chunked body apart from the headers, so that none passes for one."""
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Count the bytes of the body."""
        self._since = 0
        self._body_bytes += len(body)
        HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        """Note that the request is complete; the same read may hold the beginning of the next."""
        self._in_body = False
        self._since = self._of_others = self._read
        HttpToolsProtocol.on_message_complete(self)

    def send_400_response(self, msg: str) -> None:
        """Answer where the parser stopped: for the refusal that stopped it, or for bytes that are no HTTP."""
        self._end(*(self._refusal or (kinds.BAD_REQUEST, msg)))

    def check_timeouts(self) -> None:
        """Take the sample of this second, and end the connection where its client is too slow."""
        timeouts, transport = self._timeouts, self.transport
        if self._half_closed:
            self._probe_stream()
        if timeouts.answer_is_stuck(transport.get_write_buffer_size()):
            self._all.ended["answer"] += 1
            transport.abort()
        elif self._lingers is not None:
            self._lingers += PERIOD
            if self._lingers >= LINGER:
                transport.close()
        elif not transport.is_closing():
            awaited = self._awaited()
            if timeouts.is_over(awaited, request=self.scope, received=self._body_bytes):
                self._give_up(awaited)

    def _probe_stream(self) -> None:
        """Write filler into a silent stream: where the client has gone, the second write fails."""
        cycle = self.cycle
        filler: Any = cycle.scope.get(FILLER)
        if filler and cycle.chunked_encoding and cycle.response_started and not cycle.response_complete:
            self.transport.write(b"%x\r\n%b\r\n" % (len(filler), filler))

    def _awaited(self) -> Awaited:
        cycle = self.cycle
        if self.flow.read_paused:
            return Awaited.OURSELVES
        if self._in_body:
            return Awaited.OURSELVES if cycle is None or cycle.waiting_for_100_continue else Awaited.BODY
        if (cycle is not None and not cycle.response_complete) or self.timeout_keep_alive_task is not None:
            return Awaited.NOTHING
        # Empty lines between requests end uvicorn's own keep-alive timeout.
        return Awaited.HEAD if self._in_head else Awaited.FIRST_BYTE

    def _give_up(self, awaited: Awaited) -> None:
        limits = self._limits
        self._all.ended[awaited.value.replace(" ", "_")] += 1
        match awaited:
            case Awaited.HEAD:
                seconds = limits.head_timeout.total_seconds()
                self._end(kinds.REQUEST_TIMEOUT, f"the head was not complete within {seconds:g} s")
            case Awaited.BODY:
                seconds = limits.body_patience.total_seconds()
                detail = f"the body brought less than {limits.body_rate:,} bytes a second for {seconds:g} s"
                self._end(kinds.REQUEST_TIMEOUT, detail)
            case _:
                self.transport.close()

    def _bound_unfinished(self) -> None:
        """Hold an incomplete request to the limits of a head; of a body only the bytes that are no content.

        Those are its trailer, which nobody reads, and extensions beside the sizes of its chunks.
        """
        limits = self._limits
        if not self._in_body and len(self.url) > limits.max_target_bytes:
            self._refuse_target()
        elif len(self.headers) > limits.max_head_fields:
            self._refuse_fields()
        elif self._since - (0 if self._in_body else self._of_others) > self._max_head_bytes:
            self._refuse_bytes()
        if self._refusal:
            self._end(*self._refusal)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def _refuse_target(self) -> None:
        limit = self._limits.max_target_bytes
        self._refusal = kinds.TARGET_TOO_LONG, f"path and query have over {limit:,} bytes"

    def _refuse_fields(self) -> None:
        limit = self._limits.max_head_fields
        self._refusal = kinds.HEAD_TOO_LARGE, f"the request has over {limit:,} header fields"

    def _refuse_bytes(self) -> None:
        self._refusal = kinds.HEAD_TOO_LARGE, f"the request's head has over {self._max_head_bytes:,} bytes"

    def _end(self, kind: Kind, detail: str) -> None:
        """End the connection; answer first where this request is the next to be answered and no answer has begun.

        The app sees that its client has gone.
        """
        self._unset_keepalive_if_required()
        cycle = self.cycle
        unanswered = cycle is not None and not cycle.response_complete
        theirs = self._in_body and unanswered
        if self.pipeline or (unanswered and not theirs) or (theirs and cycle.response_started):
            self.transport.close()
            return
        if self._in_body and not theirs:
            self.transport.close()  # it was answered early; nobody reads the rest of its body
            return
        if theirs:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(self._written(kind, detail))
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self._lingers = timedelta(0)
        self.transport.write_eof()
        self.flow.resume_reading()

    def _written(self, kind: Kind, detail: str) -> bytes:
        """Return a problem as the bytes of an HTTP answer."""
        path = self.scope.get("path") or self.url.partition(b"?")[0].decode("latin-1") if self.scope else ""
        body = problems.problem_body(kind, detail, path=path[:_LONGEST_PATH])
        id = (client_request_id(list(self.scope["headers"])) if self.scope else None) or new_uuid7()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (REQUEST_ID_HEADER, id.encode()),
        ]
        lines = (b"%b: %b\r\n" % header for header in complete(headers, closing=True))
        return b"".join((STATUS_LINE[HTTPStatus(kind.status)], *lines, b"\r\n", body))
