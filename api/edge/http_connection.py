"""uvicorn's HTTP server with bounds: it has none on a request's head, nor on anybody's time.

`uvicorn api.main:create_app --factory --http api.edge.http_connection:HttpProtocol`. Without the flag nothing here
holds, and an app has no say in it: uvicorn chooses the class before it imports the app. `/health/ready` shows whether
it holds.

A request costs 1 µs more than with uvicorn's own class; connections are looked at once a second, together, 2 µs each.
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

from api.edge.deadlines import PERIOD, Awaited, Patience
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
"""Where a request's `state` has the server's Connections."""
# An answer that meets bytes of the client's that nobody reads is lost with the connection (RFC 9112, section 9.6).
LINGER: Final = timedelta(seconds=2)
_LONGEST_PATH: Final = 200


class _HeadRefused(Exception):
    """Ends the parser's work."""


class Connections:
    """One server's connections, looked at once a second."""

    def __init__(self, connections: set[Any], *, limits: settings.Wire, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self.ended: Counter[str] = Counter()
        """Connections that took too long, by what was waited for, since the last look."""
        self._connections = connections
        self._loop = loop
        self._look()

    def _look(self) -> None:
        self._loop.call_later(PERIOD.total_seconds(), self._look)
        for connection in tuple(self._connections):
            if isinstance(connection, HttpProtocol):
                connection.look()
        if self.ended:
            # One line a second at most, however many there are.
            log.info("slow_clients_ended", extra=dict(self.ended))
            self.ended.clear()

    def break_off(self, state: dict[str, Any]) -> None:
        """End the connection of the request with this state; what has come of its answer is seen not to be all."""
        for connection in tuple(self._connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and cycle.scope["state"] is state:
                cycle.disconnected = True
                connection.transport.close()


def break_off(scope: Scope) -> None:
    """End a request's connection in the middle of its answer; a server of another class does it by itself, and logs."""
    state = scope.get("state", {})
    if STATE in state:
        state[STATE].break_off(state)


class HttpProtocol(HttpToolsProtocol):
    """One connection. What every request calls names its parent: `super()` takes 0.1 µs.

    Bytes are counted a read of the socket (at most 256 KB) at a time: a head that is whole is held against its limits
    exactly, one that is not may be a read longer.
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
        self._patience = Patience(self._limits)
        self._in_body = False
        self._unfinished = False
        """Whether the last read ended within a request."""
        self._read = 0
        """Bytes of the last read."""
        self._since = 0
        """Bytes since the head began, or since the body last grew; of the first read all."""
        self._of_others = 0
        """So many of these may be of the request before."""
        self._body_bytes = 0
        self._refusal: tuple[Kind, str] | None = None
        self._lingers: timedelta | None = None
        self._half_closed = False

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
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
        """Tell whether the connection stays open, though nothing more comes: while whole requests wait for answers.

        A client that is gone looks the same. A body that is cut off is never answered, writing to nobody ends the
        connection, and a stream that is silent is tried once a second (`look`).
        """
        cycle = self.cycle
        if self._in_body or cycle is None or cycle.response_complete or self._lingers is not None:
            return False
        # The last request that came: the connection ends with its answer.
        cycle.keep_alive = False
        self._half_closed = not is_ssl(self.transport)
        return self._half_closed

    @property
    def _in_head(self) -> bool:
        return not self._in_body and self.scope is not None and "method" not in self.scope

    def on_headers_complete(self) -> None:
        """Hold a whole head against the limits; the parser stops at one that is refused."""
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
        """Keep what follows a body's chunks, its trailer, apart: `Host` and `Authorization` are the head's alone."""
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Count what came of the body."""
        self._since = 0
        self._body_bytes += len(body)
        HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        """Note that the request is whole; of this read, another may have begun."""
        self._in_body = False
        self._since = self._of_others = self._read
        HttpToolsProtocol.on_message_complete(self)

    def send_400_response(self, msg: str) -> None:
        """Answer for what the parser could not go on with: the refusal that stopped it, or what is no HTTP."""
        self._end(*(self._refusal or (kinds.BAD_REQUEST, msg)))

    def look(self) -> None:
        """Look once more, a second later, and end the connection where its client takes too long."""
        patience, transport = self._patience, self.transport
        if self._half_closed:
            self._try_stream()
        if patience.answer_is_stuck(transport.get_write_buffer_size()):
            self._all.ended["answer"] += 1
            transport.abort()
        elif self._lingers is not None:
            self._lingers += PERIOD
            if self._lingers >= LINGER:
                transport.close()
        elif not transport.is_closing():
            awaited = self._awaited()
            if patience.is_over(awaited, request=self.scope, received=self._body_bytes):
                self._give_up(awaited)

    def _try_stream(self) -> None:
        """Write what means nothing into a stream that waits: where nobody is, the second time fails."""
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
        # Bytes that begin no head, empty lines, end uvicorn's own wait for the next request.
        return Awaited.HEAD if self._in_head else Awaited.FIRST_BYTE

    def _give_up(self, awaited: Awaited) -> None:
        limits = self._limits
        self._all.ended[awaited.value.replace(" ", "_")] += 1
        match awaited:
            case Awaited.HEAD:
                seconds = limits.head_timeout.total_seconds()
                self._end(kinds.REQUEST_TIMEOUT, f"the head was not whole within {seconds:g} s")
            case Awaited.BODY:
                seconds = limits.body_patience.total_seconds()
                detail = f"the body brought less than {limits.body_rate:,} bytes a second for {seconds:g} s"
                self._end(kinds.REQUEST_TIMEOUT, detail)
            case _:
                self.transport.close()

    def _bound_unfinished(self) -> None:
        """Hold what has come of a request against the limits: of a head, or of a body what carries nothing of it.

        That is its trailer, which nobody reads, and what may stand beside the sizes of its chunks.
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
        """End the connection; answer where this request is the next to be answered and no answer has begun.

        The app sees that its client is gone.
        """
        self._unset_keepalive_if_required()
        cycle = self.cycle
        unanswered = cycle is not None and not cycle.response_complete
        theirs = self._in_body and unanswered
        if self.pipeline or (unanswered and not theirs) or (theirs and cycle.response_started):
            self.transport.close()
            return
        if self._in_body and not theirs:
            self.transport.close()  # answered early, and what it still sends is nobody's
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
        """Return an answer as it goes over the wire."""
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
