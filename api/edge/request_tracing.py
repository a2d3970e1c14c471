"""A middleware that makes a span of each request; in the app only where tracing is on (`DARKROOM_TRACING_ENABLED`).

Names and attributes are those of OpenTelemetry's HTTP conventions for servers. FastAPI's own spans are not used: the
short path of submissions does not pass its router.
"""

from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from api.edge.request_observer import METHODS, UNMATCHED, route_template
from api.http.request_facts import answered_status, gather_earlier_traces, note_trace
from shared.observability.logs import bind, bound_facts
from shared.observability.tracing.trace_context import read_trace, span_id, trace_id

if TYPE_CHECKING:
    from shared.observability.tracing.spans import Span, Tracing

UNTRACED: Final = ("/health/", "/metrics")
"""Beginnings of paths that machines ask for every few seconds, and that no trace is about."""
FACTS: Final = ("request_id", "prediction_id", "batch_id", "model")
"""Facts of a request's log lines that its span has too, as `darkroom.<name>`."""
LONGEST_PATH: Final = 256
"""Characters of a path that a span has: thousands of spans may wait in memory for the collector."""
_SERVER_ERROR: Final = 500


class RequestTracing:
    """The middleware, inside the observer: a log line about a request has its span's ids."""

    def __init__(self, app: ASGIApp, *, tracing: "Tracing") -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request within a span, whose parent is the client's where it sent a `traceparent`."""
        if scope["type"] != "http" or scope["path"].startswith(UNTRACED):
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        # Here, because a sampler may go by it; `http.route` is not known yet.
        path = scope["path"][:LONGEST_PATH]
        attributes = {"http.request.method": method, "url.path": path, "url.scheme": scope["scheme"]}
        parent = read_trace(scope["headers"])
        span = self._tracing.start(method, kind="server", parent=parent, attributes=attributes)
        if span.trace:
            note_trace(scope, span.trace)
            bind(trace_id=trace_id(span.trace), span_id=span_id(span.trace))
        earlier = gather_earlier_traces(scope)
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            span.fail(type(error).__name__)
            raise
        finally:
            if span.is_recorded:
                _describe(span, scope, method)
                for trace in earlier:
                    span.link(trace)
            span.end()


def _describe(span: "Span", scope: Scope, method: str) -> None:
    """Add what is known once the request is answered."""
    route = route_template(scope)
    if route != UNMATCHED:
        span.rename(f"{method} {route}")
        span.set({"http.route": route})
    facts = bound_facts()
    span.set({f"darkroom.{name}": str(facts[name]) for name in FACTS if name in facts})
    status = answered_status(scope)
    if status is not None:
        span.set({"http.response.status_code": status})
        if status >= _SERVER_ERROR:
            span.fail(str(status))
