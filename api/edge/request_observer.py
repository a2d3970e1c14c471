"""A middleware around the whole app: gives each request its id, completes headers, counts, and writes the log line."""

import logging
import time
from collections.abc import Awaitable
from typing import Any, Final, Literal

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.edge.response_headers import complete
from api.http.request_facts import REQUEST_ID_HEADER, client_request_id, note_request
from api.state.draining import Draining
from shared.domain.identifiers import new_uuid7
from shared.observability.logs import bind_only
from shared.observability.metrics import GatewayMetrics

log = logging.getLogger(__name__)

UNMATCHED: Final = "unmatched"
OTHER: Final = "other"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERROR: Final = 500
_LINES_FROM: Final = {"none": 1000, "errors": _SERVER_ERROR, "all": 0}


class RequestObserver:
    """The middleware, 5 µs a request. Facts bound to the log by one request are dropped when the next begins.

    Label children of the metrics are kept in a table: looking one up costs three times a count.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: GatewayMetrics,
        draining: Draining,
        lines: Literal["none", "errors", "all"],
    ) -> None:
        """`lines` says which requests get a log line: all, those that end in a 5xx, or none."""
        self._app = app
        self._draining = draining
        self._metrics = metrics
        self._lines_from = _LINES_FROM[lines]
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._in_progress = 0
        metrics.in_progress.set_function(lambda: self._in_progress)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; its exception goes on to the server, which logs it with the bound facts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id = client_request_id(scope["headers"]) or new_uuid7()
        header = (REQUEST_ID_HEADER, id.encode())
        answered = note_request(scope, id)
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
            status = _SERVER_ERROR  # answered by a handler outside this one, or broken off
            raise
        finally:
            self._in_progress -= 1
            if status:  # else the server stops, and the client got no answer
                self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request and write its line."""
        method, route = scope["method"], route_template(scope)
        if method not in METHODS:
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


def route_template(scope: Scope) -> str:
    """Return the path of a request's route as it was declared (`/v1/things/{id}`); never the request's own path."""
    route = scope.get("route")
    if route is not None:
        return str(route.path)
    endpoint = scope.get("endpoint")
    if endpoint is None:
        return UNMATCHED
    # A page of the framework's or a mounted app: its route is not in the scope.
    routes: list[Any] = scope["app"].routes
    paths = (one.path for one in routes if endpoint in (getattr(one, "endpoint", None), getattr(one, "app", None)))
    return next(paths, UNMATCHED)
