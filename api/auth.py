"""Who calls, and may they: a layer around every route, closed where nothing else is said.

What needs no key is listed here; everything else needs one, a route added tomorrow too. Where the API listens on
loopback alone it may go without: then everybody is one owner, and a page of the web that has its own name resolved to
this machine is told apart by the `Host` it asks for, and people behind a proxy by the address that it tells.
"""

import re
from typing import Final
from urllib.parse import parse_qs, urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api import problems
from api.address import is_loopback
from shared import settings
from shared.domain.apikeys import ANYBODY, PREFIX, Caller, Role
from shared.domain.errors import DarkroomError, Forbidden, Unauthorized
from shared.domain.identifiers import BatchId, Owner, PredictionId
from shared.domain.tokens import StreamTokens
from shared.observability.logs import bind

_KEY: Final = "darkroom.caller"
_PUBLIC: Final = frozenset({"/", "/docs", "/openapi.json", "/health/live", "/health/ready"})
_PUBLIC_PAGES: Final = re.compile(r"/(?:docs|problems)/[^/]+")
_ADMIN: Final = frozenset({"/metrics", "/v1/webhooks/default/secret/rotate"})
# They sign what its receivers trust: to see is not to speak in its name.
_SUBMIT: Final = frozenset({"/v1/webhooks/default/secret"})
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER: Final = "bearer "
_NO_KEY: Final = "this needs an API key: Authorization: Bearer dk_…"


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


def needed_role(method: str, path: str) -> Role | None:
    """Return the least role for an operation; None: it needs no key."""
    if path in _PUBLIC or _PUBLIC_PAGES.fullmatch(path):
        return None
    if path in _ADMIN:
        return Role.ADMIN
    return Role.READ if method in _READING and path not in _SUBMIT else Role.SUBMIT


def caller(request: Request) -> Caller:
    """Return who sent this request; raises Unauthorized where nobody has said."""
    found: Caller | None = request.scope.get(_KEY)
    if found is None:
        raise Unauthorized(detail=_NO_KEY)
    return found


def follower(request: Request, id: PredictionId | BatchId, tokens: StreamTokens) -> Owner | None:
    """Return whose stream this may be; None where its own token vouches for it. Raises Unauthorized."""
    token = request.query_params.get("token")
    if token is None:
        return caller(request).owner
    if not tokens.allows(id, token):
        raise Unauthorized(detail="this stream's token is over; take a new one from the object's urls.stream")
    return None


class Authentication:
    """The layer; `public_url` is where else the API is reached while it asks for no keys."""

    def __init__(self, app: ASGIApp, *, required: bool, public_url: str) -> None:
        self._app = app
        self._required = required
        self._public_host = urlsplit(public_url).hostname or ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass with its caller, or answer 401, 403 or, where nobody can say who it is, 503."""
        if scope["type"] == "http":
            try:
                await self._admit(scope)
            except DarkroomError as error:
                refusal = await problems.on_darkroom_error(Request(scope), error)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        """Say who calls. Raises Unauthorized, Forbidden or StorageUnavailable."""
        needed = needed_role(scope["method"], scope["path"])
        authorization, host = _read(scope["headers"])
        key = _bearer(authorization)
        open_here = not self._required and _is_this_machine(scope)
        if open_here:
            self._refuse_other_names(host)
        if needed is None:
            return
        if open_here and not key.startswith(PREFIX):
            scope[_KEY] = ANYBODY
            return
        if not key:
            if _brings_a_token(scope):
                return
            raise Unauthorized(detail=_NO_KEY)
        keyring = scope["app"].state.gateway.keyring
        found: Caller | None = keyring.known(key) or await keyring.find(key)
        if found is None:
            raise Unauthorized(detail="this API key is none of ours, or was revoked")
        bind(owner=found.owner)
        if not found.role.may(needed):
            raise Forbidden(detail=f"this needs a key of the role {needed}; this one's is {found.role}")
        scope[_KEY] = found

    def _refuse_other_names(self, host: str) -> None:
        name = _host_name(host)
        if name and name != self._public_host and not is_loopback(name):
            raise Forbidden(
                detail=f"without API keys this API is for its own machine, and {name[:200]!r} is none of its names; "
                "set DARKROOM_PUBLIC_URL if it is, or DARKROOM_AUTH_REQUIRED=true"
            )


def _read(headers: list[tuple[bytes, bytes]]) -> tuple[str, str]:
    """Return the `Authorization` and the `Host` of a request; empty where there is none."""
    authorization = host = ""
    for name, value in headers:
        if name == b"authorization":
            authorization = value.decode("latin-1")
        elif name == b"host":
            host = value.decode("latin-1")
    return authorization, host


def _bearer(authorization: str) -> str:
    """Return the token of the one scheme there is (RFC 6750, section 2.1); empty where there is none."""
    return authorization[len(_BEARER) :].strip() if authorization[: len(_BEARER)].lower() == _BEARER else ""


def _host_name(host: str) -> str:
    """Return a Host header's name without its port."""
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def _is_this_machine(scope: Scope) -> bool:
    """Tell whether a request came in over loopback or a Unix socket, and from here as far as a proxy tells.

    uvicorn takes the client's address from a proxy on this machine that sends `X-Forwarded-For`.
    """
    server, client = scope.get("server"), scope.get("client")
    is_here = server is None or server[1] is None or is_loopback(server[0])
    return is_here and (client is None or is_loopback(client[0]))


def _brings_a_token(scope: Scope) -> bool:
    """Tell whether a stream is asked for by its own token, which its route looks at."""
    path: str = scope["path"]
    return (
        path.endswith("/stream")
        and scope["method"] == "GET"
        and "token" in parse_qs(scope["query_string"].decode("latin-1"))
    )
