"""Which key a route needs: said where it is declared, asked by the route itself before its endpoint runs.

Nothing here reads a path. The same object serves a request and says what it needs, so the two can't differ.
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

from shared.domain.api_keys import Role
from shared.domain.errors import UnsupportedEncoding

DOOR: Final = "darkroom.door"
"""Where a request's scope has the Authentication that it came through."""
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a request must bring to a route."""

    role: Role | None
    """The least role of its key; None: it needs none."""
    takes_token: bool = False
    """Whether a stream's own token does instead."""


_DECLARED: Final[dict[Callable[..., Any], Policy]] = {}
# Whoever has any key may be told that a path does not exist, or does not take a method.
ANY_KEY: Final = Policy(role=Role.READ)


def open_to_all(endpoint: Endpoint) -> Endpoint:
    """Declare that a route needs no key."""
    return _declare(endpoint, Policy(role=None))


def takes_token(endpoint: Endpoint) -> Endpoint:
    """Declare a stream of what `id` in the path names: its own token does instead of a key."""
    return _declare(endpoint, Policy(role=Role.READ, takes_token=True))


def needs(role: Role) -> Callable[[Endpoint], Endpoint]:
    """Declare the least role, where it is not what the route's methods say: READ for reading, else SUBMIT."""
    return partial(_declare, policy=Policy(role=role))


def _declare(endpoint: Endpoint, policy: Policy) -> Endpoint:
    _DECLARED[endpoint] = policy
    return endpoint


class GuardedRoute(APIRoute):
    """A route that asks for its key, answers HEAD as it answers GET, and takes no compressed body.

    Without a declaration it needs a key that may read, or for any other method one that may submit.
    """

    methods: set[str]

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        usual = Role.READ if self.methods <= READING else Role.SUBMIT
        self.policy = _DECLARED.get(endpoint) or Policy(role=usual)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take HEAD where GET is taken; it is no method of the route's own, so the document has it only once."""
        match, child = super().matches(scope)
        if match is Match.PARTIAL and scope["method"] == "HEAD" and "GET" in self.methods:
            return Match.FULL, child
        return match, child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an admitted request.

        Raises Unauthorized, Forbidden, StorageUnavailable or UnsupportedEncoding; for a method that is not this
        route's HTTPException.
        """
        method: str = scope["method"]
        door = scope[DOOR]
        if method not in self.methods:
            if method != "HEAD" or "GET" not in self.methods:
                await door.admit(scope, ANY_KEY if self.policy.role else self.policy)
                raise HTTPException(405)
            scope, send = {**scope, "method": "GET"}, _Head(send)
        elif method not in READING and (encoding := door.body_encoding(scope)):
            await door.admit(scope, self.policy)
            raise UnsupportedEncoding(encoding=encoding)
        await door.serve(super().handle, self.policy, scope, receive, send)


class _Head:
    """Sends the head of an answer and nothing else. The server then tells who still sends that the client is gone."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._send(message)
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def install(app: FastAPI) -> None:
    """Close what is no route of ours, and refuse to start with a route that asks nobody for a key.

    Call it when every route is there; raises TypeError.
    """
    app.router.redirect_slashes = False  # it would answer whoever comes, and with an URL made of the Host header
    app.router.default = partial(_nothing_here, app)
    for context in iter_route_contexts(app.routes):
        if not isinstance(context.original_route, GuardedRoute):
            raise TypeError(f"{context.path} asks nobody for a key: its router has to have route_class=GuardedRoute")
    if any(app.router._iter_low_priority_routes()):  # noqa: SLF001  what `app.frontend()` adds is in no public list
        raise TypeError("pages of app.frontend() ask nobody for a key")


async def _nothing_here(app: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for a path that is no route's, but not to everybody: 401 hides what there is and what not."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
        return
    await scope[DOOR].admit(scope, ANY_KEY)
    path: str = scope["path"]
    without = {**scope, "path": path.rstrip("/")}
    if path.endswith("/") and any(route.matches(without)[0] is not Match.NONE for route in app.routes):
        query = scope["query_string"].decode("latin-1")
        redirect = RedirectResponse(quote(without["path"]) + (f"?{query}" if query else ""))
        await redirect(scope, receive, send)
        return
    raise HTTPException(404)


def policy_of(route: object) -> Policy:
    """Return what a route of an app asks for; raises TypeError where it is none of ours."""
    if not isinstance(route, GuardedRoute):
        raise TypeError(f"{route} is no GuardedRoute")
    return route.policy
