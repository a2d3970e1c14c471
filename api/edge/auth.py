"""Who calls, and may they: a layer that every request comes through, and the question each route asks it.

The layer refuses what no route should see. Who calls is asked by the route that serves the request
(`api/edge/guard.py`), closed where nothing else is said. Where the API listens on loopback alone it may go without
keys: then everybody is one owner, and a page of the web that has its own name resolved to this machine is told apart by
the `Host` it asks for, and people behind a proxy by the address that it tells.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.edge.guard import DOOR, Policy
from api.edge.host import check_host, read_host
from api.edge.http_connection import break_off
from api.edge.origins import Origins
from api.http import problems
from api.http.request_facts import has_begun_to_answer
from api.state.open_requests import OpenRequest, OpenRequests
from shared import settings
from shared.domain.api_keys import ANYBODY, PREFIX, Caller
from shared.domain.errors import BadRequest, DarkroomError, Forbidden, Unauthorized
from shared.domain.hosts import host_name, is_loopback
from shared.domain.identifiers import Owner
from shared.observability.logs import bind

_KEY: Final = "darkroom.caller"
_FOLLOWS: Final = "darkroom.follows"
_HEAD: Final = "darkroom.head"
_BEARER: Final = b"bearer "
_NO_KEY: Final = "this needs an API key: Authorization: Bearer dk_…"
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Handle = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Head(NamedTuple):
    """What is decided by of a request's head."""

    open_here: bool
    """Whether it needs no key: none is asked for, and it comes from this machine."""
    stranger: str
    """Whose page sent it, where it needs no key and that page may not."""
    authorization: bytes
    encoding: bytes
    """Its Content-Encoding."""


class KeysNeeded(SystemExit):
    """The API would be open to others; the message is the one line people see."""


def keys_required(auth: settings.Auth, *, host: str) -> bool:
    """Tell whether calls need a key on this host (empty: a socket); raises KeysNeeded where others could do without."""
    if auth.required is None:
        return not is_loopback(host)
    if not auth.required and host and not is_loopback(host):
        raise KeysNeeded(
            f"DARKROOM_AUTH_REQUIRED is false and the API is to listen on {host}: "
            "without keys it answers its own machine alone. Listen on 127.0.0.1, or let keys be required."
        )
    return auth.required


def caller(request: Request) -> Caller:
    """Return who sent this request; raises Unauthorized where nobody has said."""
    found: Caller | None = request.scope.get(_KEY)
    if found is None:
        raise Unauthorized(detail=_NO_KEY)
    return found


def follower(request: Request) -> Owner | None:
    """Return whose stream this may be; None where its own token vouches for it. Raises Unauthorized."""
    return None if _FOLLOWS in request.scope else caller(request).owner


class Authentication:
    """The layer; `public_url` is where else the API is reached while it asks for no keys.

    `allowed_origins` are those of the pages that may send requests then, beside the API's own.
    """

    def __init__(self, app: ASGIApp, *, required: bool, public_url: str, allowed_origins: Collection[str] = ()) -> None:
        self._app = app
        self._required = required
        self._origins = Origins(allowed_origins, public_url=public_url)
        self._public_host = urlsplit(public_url).hostname or ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on with what its route needs to admit it, or refuse it: 400, 403."""
        if scope["type"] == "http":
            try:
                scope[_HEAD] = self._look(scope)
            except DarkroomError as error:
                refusal = await problems.on_darkroom_error(Request(scope), error)
                await refusal(scope, receive, send)
                return
            scope[DOOR] = self
        await self._app(scope, receive, send)

    def _look(self, scope: Scope) -> _Head:
        path: str = scope["path"]
        # Mostly the first, 30 ns, is enough: it is false for a few more characters than these.
        if not path.isprintable() and _CONTROLS.search(path):
            raise BadRequest(detail="the path holds a control character")
        headers = scope["headers"]
        # In one call, which is faster than a look at each; what came twice is seen by the lengths.
        found: dict[bytes, bytes] = dict(headers)
        host = check_host(found.get(b"host", b"")) if len(found) == len(headers) else read_host(headers)
        open_here, stranger = not self._required and _is_this_machine(scope), ""
        if open_here:
            self._refuse_other_names(host)
            stranger = self._origins.stranger(found, method=scope["method"])
        return _Head(open_here, stranger, found.get(b"authorization", b""), found.get(b"content-encoding", b""))

    async def serve(self, handle: Handle, policy: Policy, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that may go through, for as long as it may; raises what `admit` raises, or why it ended."""
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
        """Say who calls; None: nobody has to.

        Raises Unauthorized, Forbidden, BeingPurged or, where nobody can say who it is, StorageUnavailable.
        """
        if policy.role is None:
            return None
        if policy.takes_token and b"token" in scope["query_string"] and _is_followed(scope):
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
        keyring = gate.api_keys
        found: Caller | None = keyring.known(key) or await keyring.find(key)
        if found is None:
            raise Unauthorized(detail="this API key is none of ours, or was revoked")
        bind(owner=found.owner)
        if not found.role.may(policy.role):
            raise Forbidden(detail=f"this needs a key of the role {policy.role}; this one's is {found.role}")
        gate.purges.check(found.owner)
        scope[_KEY] = found
        return OpenRequest(found.owner, key)

    def body_encoding(self, scope: Scope) -> str:
        """Return how a request's body is encoded; empty where it comes as it is."""
        head: _Head = scope[_HEAD]
        return head.encoding.decode("latin-1") if head.encoding.strip().lower() not in (b"", b"identity") else ""

    def _refuse_other_names(self, host: str) -> None:
        if _names_this_machine(host):
            return
        name = host_name(host)
        if name != self._public_host:
            raise Forbidden(
                detail=f"without API keys this API is for its own machine, and {name[:200]!r} is none of its names; "
                "set DARKROOM_PUBLIC_URL if it is, or DARKROOM_AUTH_REQUIRED=true"
            )


@lru_cache(maxsize=64)
def _names_this_machine(host: str) -> bool:
    """Tell whether a `Host` is one of loopback's, or none at all."""
    name = host_name(host)
    return not name or is_loopback(name)


def _bearer(authorization: bytes) -> str:
    """Return the token of the one scheme there is (RFC 6750, section 2.1); empty where there is none."""
    if authorization[: len(_BEARER)].lower() != _BEARER:
        return ""
    return authorization[len(_BEARER) :].decode("latin-1").strip()


def _is_this_machine(scope: Scope) -> bool:
    """Tell whether a request came in over loopback or a Unix socket, and from here as far as a proxy tells.

    uvicorn takes the client's address from a proxy on this machine that sends `X-Forwarded-For`.
    """
    server, client = scope.get("server"), scope.get("client")
    is_here = server is None or server[1] is None or is_loopback(server[0])
    return is_here and (client is None or is_loopback(client[0]))


def _is_followed(scope: Scope) -> bool:
    """Tell whether a stream is asked for by a token, which must be its own; raises Unauthorized."""
    tokens = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("token")
    if not tokens:
        return False
    if not scope["app"].state.gateway.tokens.allows(scope["path_params"]["id"], tokens[-1]):
        raise Unauthorized(detail="this stream's token is over; take a new one from the object's urls.stream")
    return True
