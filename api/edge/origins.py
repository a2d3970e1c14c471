"""Requests from web pages of other sites: refused while no keys are required, and CORS for the origins allowed.

Without keys, any page open in a browser on this machine could send requests (a form, an image, a `fetch` of plain
text), so requests that the browser marks as cross-site are refused. With keys there is no such danger: a page has to
know the key, and the browser asks first (https://fetch.spec.whatwg.org/#http-cors-protocol).
"""

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.edge.guard import READING
from api.edge.response_headers import RESOURCE_POLICY

EXPOSED: Final = (
    "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID", "Preference-Applied", "Allow",
)  # fmt: skip
"""Headers of an answer that a page of another site may read."""


class Origins:
    """The origins whose pages may send requests without keys: the gateway's own and the `allowed` ones."""

    def __init__(self, allowed: Collection[str], *, public_url: str) -> None:
        public = urlsplit(public_url)
        own = f"{public.scheme}://{public.netloc}".lower()
        self._allowed = frozenset(allowed) | ({own} if public.netloc else set())

    def stranger(self, head: Mapping[bytes, bytes], *, method: str) -> str:
        """Return the origin of the page that sent a request, where that page is not allowed to; else an empty string.

        Links from any page may be followed: that page sees nothing of the answer, and reading changes nothing.
        """
        sent, site = head.get(b"origin"), head.get(b"sec-fetch-site", b"")
        if sent is not None:
            origin = sent.decode("latin-1")
            if origin in self._allowed:
                return ""
            host = head.get(b"host", b"").decode("latin-1").lower()
            if origin.lower() not in (f"http://{host}", f"https://{host}"):
                return "another site" if origin in ("", "null") else origin[:200]
        if site in (b"", b"same-origin", b"none") or (method in READING and head.get(b"sec-fetch-mode") == b"navigate"):
            return ""
        return "another site"


class CrossOrigin:
    """A middleware for CORS: lets pages of allowed origins read answers, and answers preflight requests."""

    def __init__(self, app: ASGIApp, *, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = frozenset(origin.encode() for origin in allowed)
        # Methods and headers a route does not take are refused by the route, with a problem.
        self._cors = CORSMiddleware(
            app,
            allow_origins=allowed,
            allow_methods=("*",),
            allow_headers=("*",),
            allow_private_network=True,
            expose_headers=EXPOSED,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not self._is_from_allowed_page(scope):
            await self._app(scope, receive, send)
            return

        async def shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[RESOURCE_POLICY] = "cross-origin"
            await send(message)

        await self._cors(scope, receive, shared)

    def _is_from_allowed_page(self, scope: Scope) -> bool:
        return any(name == b"origin" and value in self._allowed for name, value in scope["headers"])
