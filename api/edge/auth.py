"""Authentication: a middleware that every request passes, and the check that each route calls.

The middleware refuses what no route should see: bad hosts and paths. The route that serves a request calls `serve`
with its policy (`api/edge/guard.py`); without a declaration a route needs a key. An API that listens on loopback alone
may go without keys. Then all callers are one owner; a web page whose own name resolves to this machine (DNS rebinding)
is recognised by its `Host`, and callers behind a proxy by the address that the proxy reports.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.edge.guard import AUTHENTICATION, Policy
from api.edge.host import check_host, read_host
from api.edge.http_connection import break_off
from api.edge.origins import Origins
from api.http import problems
from api.http.request_facts import has_begun_to_answer, note_client_trace
from api.state.open_requests import OpenRequest, OpenRequests
from shared import settings
from shared.domain.api_keys import ANYBODY, PREFIX, Caller
from shared.domain.errors import BadRequest, DarkroomError, Forbidden, Unauthorized
from shared.domain.hosts import host_name, is_loopback
from shared.domain.identifiers import Owner
from shared.observability.logs import bind
from shared.observability.tracing.trace_context import TRACEPARENT

_KEY: Final = "darkroom.caller"
_FOLLOWS: Final = "darkroom.follows"
_HEAD: Final = "darkroom.head"
_BEARER: Final = b"bearer "
_NO_KEY: Final = "this needs an API key: Authorization: Bearer dk_…"
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Handle = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Head(NamedTuple):
    """What the middleware read from a request's head."""

    open_here: bool
    """Whether the request needs no key: the API requires none, and the request comes from this machine."""
    stranger: str
    """The origin of the web page that sent it, where that page is not allowed to; else empty."""
    authorization: bytes
    encoding: bytes
    """Its Content-Encoding."""


class KeysNeeded(SystemExit):
    """The API would be reachable by others without keys; the message is the one line that is printed."""


def keys_required(auth: settings.Auth, *, host: str) -> bool:
    """Tell whether requests need a key when listening on `host` (empty: a Unix socket).

    Raises KeysNeeded where keys are turned off and others could reach the API.
    """
    if auth.required is None:
        return not is_loopback(host)
    if not auth.required and host and not is_loopback(host):
        raise KeysNeeded(
            f"DARKROOM_AUTH_REQUIRED is false and the API is to listen on {host}: "
            "without keys it serves its own machine alone. Listen on 127.0.0.1, or let keys be required."
        )
    return auth.required


def caller(request: Request) -> Caller:
    """Return who sent this request; raises Unauthorized where it was not authenticated."""
    found: Caller | None = request.scope.get(_KEY)
    if found is None:
        raise Unauthorized(detail=_NO_KEY)
    return found


def follower(request: Request) -> Owner | None:
    """Return the owner whose streams this request may read; None where it brought the stream's own token.

    Raises Unauthorized.
    """
    return None if _FOLLOWS in request.scope else caller(request).owner


class Authentication:
    """The middleware.

    While no keys are required, requests are accepted for this machine's names and the host of `public_url`, and from
    web pages of the API itself and of `allowed_origins`.
    """

    def __init__(self, app: ASGIApp, *, required: bool, public_url: str, allowed_origins: Collection[str] = ()) -> None:
        self._app = app
        self._required = required
        self._origins = Origins(allowed_origins, public_url=public_url)
        self._public_host = urlsplit(public_url).hostname or ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with what its route needs to authenticate it, or answer 400 or 403."""
        if scope["type"] == "http":
            try:
                scope[_HEAD] = self._read_head(scope)
            except DarkroomError as error:
                refusal = await problems.on_darkroom_error(Request(scope), error)
                await refusal(scope, receive, send)
                return
            scope[AUTHENTICATION] = self
        await self._app(scope, receive, send)

    def _read_head(self, scope: Scope) -> _Head:
        path: str = scope["path"]
        # `isprintable`, 30 ns, rules nearly every path out; it is false for a few more characters than these.
        if not path.isprintable() and _CONTROLS.search(path):
            raise BadRequest(detail="the path holds a control character")
        headers = scope["headers"]
        # One call is faster than a loop; a repeated header shows in the lengths.
        found: dict[bytes, bytes] = dict(headers)
        if TRACEPARENT in found:
            note_client_trace(scope)
        host = check_host(found.get(b"host", b"")) if len(found) == len(headers) else read_host(headers)
        open_here, stranger = not self._required and _is_this_machine(scope), ""
        if open_here:
            self._refuse_other_names(host)
            stranger = self._origins.stranger(found, method=scope["method"])
        return _Head(open_here, stranger, found.get(b"authorization", b""), found.get(b"content-encoding", b""))

    async def serve(self, handle: Handle, policy: Policy, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate a request and serve it until it ends or its key is revoked.

        Raises what `admit` raises, or the error for which the open request was canceled.
        """
        visit = await self.admit(scope, policy)
        task = asyncio.current_task()
        if visit is None or task is None:
            await handle(scope, receive, send)
            return
        open_requests: OpenRequests = scope["app"].state.gateway.open_requests
        open_requests.begin(task, visit)
        try:
            await handle(scope, receive, send)
        except asyncio.CancelledError:
            if visit.over is None:
                raise
            task.uncancel()
            if has_begun_to_answer(scope):
                break_off(scope)
                return
            raise visit.over from None
        finally:
            open_requests.end(task)

    async def admit(self, scope: Scope, policy: Policy) -> OpenRequest | None:
        """Authenticate a request by the policy of its route; return None where no key was needed.

        Raises Unauthorized, Forbidden, BeingPurged, or StorageUnavailable where an unknown key can't be looked up.
        """
        if policy.role is None:
            return None
        if policy.takes_token and b"token" in scope["query_string"] and _has_stream_token(scope):
            scope[_FOLLOWS] = True
            return None
        head: _Head = scope[_HEAD]
        key = _bearer(head.authorization)
        if head.open_here and not key.startswith(PREFIX):
            if head.stranger:
                raise Forbidden(
                    detail=f"a page of {head.stranger} sent this, and without API keys only this API's own pages may; "
                    "set DARKROOM_ALLOWED_ORIGINS if it may too, or DARKROOM_AUTH_REQUIRED=true"
                )
            scope["app"].state.gateway.purges.check(ANYBODY.owner)
            scope[_KEY] = ANYBODY
            return OpenRequest(ANYBODY.owner, "")
        if not key:
            raise Unauthorized(detail=_NO_KEY)
        gate = scope["app"].state.gateway
        api_keys = gate.api_keys
        found: Caller | None = api_keys.known(key) or await api_keys.find(key)
        if found is None:
            raise Unauthorized(detail="this API key is unknown or was revoked")
        bind(owner=found.owner)
        if not found.role.may(policy.role):
            raise Forbidden(detail=f"this needs a key of the role {policy.role}; this one's is {found.role}")
        gate.purges.check(found.owner)
        scope[_KEY] = found
        return OpenRequest(found.owner, key)

    def body_encoding(self, scope: Scope) -> str:
        """Return the `Content-Encoding` of a request's body; empty for none."""
        head: _Head = scope[_HEAD]
        return head.encoding.decode("latin-1") if head.encoding.strip().lower() not in (b"", b"identity") else ""

    def _refuse_other_names(self, host: str) -> None:
        if _names_this_machine(host):
            return
        name = host_name(host)
        if name != self._public_host:
            raise Forbidden(
                detail=f"without API keys this API serves its own machine alone, and {name[:200]!r} is no name of it; "
                "set DARKROOM_PUBLIC_URL if it is, or DARKROOM_AUTH_REQUIRED=true"
            )


@lru_cache(maxsize=64)
def _names_this_machine(host: str) -> bool:
    """Tell whether a `Host` names loopback, or is absent."""
    name = host_name(host)
    return not name or is_loopback(name)


def _bearer(authorization: bytes) -> str:
    """Return the token of `Authorization: Bearer` (RFC 6750, section 2.1); empty where there is none."""
    if authorization[: len(_BEARER)].lower() != _BEARER:
        return ""
    return authorization[len(_BEARER) :].decode("latin-1").strip()


def _is_this_machine(scope: Scope) -> bool:
    """Tell whether a request arrived over loopback or a Unix socket, and the client is this machine too.

    uvicorn takes the client's address from a proxy on this machine that sends `X-Forwarded-For`.
    """
    server, client = scope.get("server"), scope.get("client")
    is_here = server is None or server[1] is None or is_loopback(server[0])
    return is_here and (client is None or is_loopback(client[0]))


def _has_stream_token(scope: Scope) -> bool:
    """Tell whether a stream is requested with a token; raises Unauthorized where the token does not allow it."""
    tokens = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("token")
    if not tokens:
        return False
    if not scope["app"].state.gateway.tokens.allows(scope["path_params"]["id"], tokens[-1]):
        raise Unauthorized(detail="this stream's token has expired; take a new one from the object's urls.stream")
    return True
