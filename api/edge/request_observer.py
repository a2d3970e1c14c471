"""Every request seen from outside: its id, what its answer's head has to say, how it is counted, the line about it."""

import logging
import re
import time
from collections.abc import Awaitable
from typing import Any, Final, Literal

from fastapi import Request
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.edge.response_headers import complete
from api.state.draining import Draining
from shared.domain.identifiers import new_uuid7
from shared.observability.logs import bind_only
from shared.observability.metrics import GatewayMetrics

log = logging.getLogger(__name__)

REQUEST_ID: Final = "X-Request-ID"
UNMATCHED: Final = "unmatched"
OTHER: Final = "other"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADER: Final = REQUEST_ID.lower().encode()
# What goes into a log line, a header and a job as it came.
_USABLE: Final = re.compile(rb"[A-Za-z0-9._:@/+=-]{1,128}")
_KEY: Final = "darkroom.request_id"
_ANSWERED: Final = "darkroom.answered"
_SERVER_ERROR: Final = 500
_LINES_FROM: Final = {"none": 1000, "errors": _SERVER_ERROR, "all": 0}


class RequestObserver:
    """A layer around the app, 5 µs a request. What a request binds is forgotten when the next one begins.

    The label children are kept: looking one up costs three times a count.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: GatewayMetrics,
        draining: Draining,
        lines: Literal["none", "errors", "all"],
    ) -> None:
        """Write a line about each request, about those that end in a 5xx, or about none."""
        self._app = app
        self._draining = draining
        self._metrics = metrics
        self._lines_from = _LINES_FROM[lines]
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._in_progress = 0
        metrics.in_progress.set_function(lambda: self._in_progress)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; its exception goes on to the server, which logs it with what is bound."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id = client_request_id(scope["headers"]) or new_uuid7()
        header = (_HEADER, id.encode())
        scope[_KEY] = id
        # A list, for those who go on with a copy of the scope.
        answered: list[int] = []
        scope[_ANSWERED] = answered
        bind_only(request_id=id)
        status = 0

        def observed(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered.append(status)
                headers = complete(message.get("headers") or [], closing=self._draining.has_begun)
                message["headers"] = [*headers, header]
            return send(message)

        self._in_progress += 1
        started = time.perf_counter()
        try:
            await self._app(scope, receive, observed)
        except Exception:
            status = _SERVER_ERROR  # answered further out; or an answer that broke off
            raise
        finally:
            self._in_progress -= 1
            if status:  # else the server stops, and nobody was answered
                self._tell(scope, status, time.perf_counter() - started)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request and write its line."""
        method, route = scope["method"], _template(scope)
        if method not in _METHODS:
            method = OTHER
        children = self._children.get((method, route, status))
        if children is None:
            metrics = self._metrics
            children = (metrics.requests.labels(method, route, status), metrics.seconds.labels(method, route))
            self._children[method, route, status] = children
        requests, duration = children
        requests.inc()
        duration.observe(seconds)
        if status >= self._lines_from:
            level = logging.WARNING if status >= _SERVER_ERROR else logging.INFO
            facts = {"method": method, "route": route, "status": status, "milliseconds": round(seconds * 1000, 2)}
            log.log(level, "request", extra=facts)


def has_begun_to_answer(scope: Scope) -> bool:
    """Tell whether the head of an answer has been sent."""
    return bool(scope.get(_ANSWERED))


def request_id(request: Request) -> str | None:
    """Return the id of a request; None where no layer gave it one."""
    found: str | None = request.scope.get(_KEY)
    return found


def client_request_id(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return the client's own id, if it is usable."""
    for name, value in headers:
        if name == _HEADER:
            return value.decode() if _USABLE.fullmatch(value) else None
    return None


def _template(scope: Scope) -> str:
    """Return the path of the route that a request came to, as it was declared; never the request's own."""
    route = scope.get("route")
    if route is not None:
        return str(route.path)
    endpoint = scope.get("endpoint")
    if endpoint is None:
        return UNMATCHED
    # A page of the framework's own or a mounted app: its route is not in the scope.
    routes: list[Any] = scope["app"].routes
    paths = (one.path for one in routes if endpoint in (getattr(one, "endpoint", None), getattr(one, "app", None)))
    return next(paths, UNMATCHED)
