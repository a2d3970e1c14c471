"""Routes that check their caller's key themselves, before their endpoint runs.

The policy is declared beside the endpoint and held by the route that serves the request, so the two can't differ; no
table of paths is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from api.http.known_parameters import check_parameters
from shared.domain.api_keys import Role
from shared.domain.errors import UnsupportedEncoding

AUTHENTICATION: Final = "darkroom.authentication"
"""Key of a request's scope under which the Authentication middleware is found."""
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a request needs to be served by a route."""

    role: Role | None
    """Least role of its key; None: no key is needed."""
    takes_token: bool = False
    """Whether the stream's own token is accepted in place of a key."""


_DECLARED: Final[dict[Callable[..., Any], Policy]] = {}
# With any key one is told that a path does not exist, or does not take a method.
ANY_KEY: Final = Policy(role=Role.READ)


def open_to_all(endpoint: Endpoint) -> Endpoint:
    """Declare that a route needs no key."""
    return _declare(endpoint, Policy(role=None))


def takes_token(endpoint: Endpoint) -> Endpoint:
    """Declare a stream of the object that `id` in the path names: its own token is accepted in place of a key."""
    return _declare(endpoint, Policy(role=Role.READ, takes_token=True))


def needs(role: Role) -> Callable[[Endpoint], Endpoint]:
    """Declare the least role where it is not the default: READ for reading methods, SUBMIT for others."""
    return partial(_declare, policy=Policy(role=role))


def _declare(endpoint: Endpoint, policy: Policy) -> Endpoint:
    _DECLARED[endpoint] = policy
    return endpoint


class GuardedRoute(APIRoute):
    """A route that checks the caller's key, answers HEAD like GET, and refuses compressed bodies.

    A GET whose endpoint has query parameters refuses others. One without any ignores them, and so do streams:
    replacements of EventSource for old browsers send parameters of their own (`lastEventId`).

    Without a declaration it needs a key of the role READ, or SUBMIT where it has other than reading methods.
    """

    methods: set[str]

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        usual = Role.READ if self.methods <= READING else Role.SUBMIT
        self.policy = _DECLARED.get(endpoint) or Policy(role=usual)
        asked = self.dependant.query_params if self.methods <= READING else ()
        self.parameters = tuple(parameter.alias for parameter in asked)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match HEAD where GET matches. HEAD is not in `methods`, so the OpenAPI document lists GET alone."""
        match, child = super().matches(scope)
        if match is Match.PARTIAL and scope["method"] == "HEAD" and "GET" in self.methods:
            return Match.FULL, child
        return match, child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request whose caller the policy admits.

        Raises Unauthorized, Forbidden, StorageUnavailable or UnsupportedEncoding; HTTPException for a method that the
        route does not have; RequestValidationError for a query parameter that it does not have.
        """
        method: str = scope["method"]
        authentication = scope[AUTHENTICATION]
        if method not in self.methods:
            if method != "HEAD" or "GET" not in self.methods:
                await authentication.admit(scope, ANY_KEY if self.policy.role else self.policy)
                raise HTTPException(405)
            scope, send = {**scope, "method": "GET"}, _Head(send)
        elif method not in READING and (encoding := authentication.body_encoding(scope)):
            await authentication.admit(scope, self.policy)
            raise UnsupportedEncoding(encoding=encoding)
        checked = self.parameters and scope["query_string"]
        handle = self._handle_known_parameters if checked else super().handle
        await authentication.serve(handle, self.policy, scope, receive, send)

    async def _handle_known_parameters(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_parameters(scope["query_string"], self.parameters)
        await super().handle(scope, receive, send)


class _Head:
    """Sends the head of an answer and no body. An endpoint that goes on sending is told that the client is gone."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._send(message)
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def install(app: FastAPI) -> None:
    """Answer paths that have no route, and refuse an app with a route that checks no key.

    Call it when every route has been added; raises TypeError.
    """
    app.router.redirect_slashes = False  # it answers without a key, and with a URL made of the Host header
    app.router.default = partial(_answer_unknown_path, app)
    for context in iter_route_contexts(app.routes):
        if not isinstance(context.original_route, GuardedRoute):
            raise TypeError(f"{context.path} checks no key: its router needs route_class=GuardedRoute")
    if any(app.router._iter_low_priority_routes()):  # noqa: SLF001  no public list has what `app.frontend()` adds
        raise TypeError("pages of app.frontend() check no key")


async def _answer_unknown_path(app: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for a path without a route: 404 or a redirect to callers with a key, 401 to others, who learn nothing."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
        return
    await scope[AUTHENTICATION].admit(scope, ANY_KEY)
    path: str = scope["path"]
    without = {**scope, "path": path.rstrip("/")}
    if path.endswith("/") and any(route.matches(without)[0] is not Match.NONE for route in app.routes):
        query = scope["query_string"].decode("latin-1")
        redirect = RedirectResponse(quote(without["path"]) + (f"?{query}" if query else ""))
        await redirect(scope, receive, send)
        return
    raise HTTPException(404)


def policy_of(route: object) -> Policy:
    """Return the policy of a route; raises TypeError for one that is no GuardedRoute."""
    if not isinstance(route, GuardedRoute):
        raise TypeError(f"{route} is no GuardedRoute")
    return route.policy
