"""Refuses requests to a Flower without a login that come from another machine's page, by `Host` and `Origin`.

Any web page can have its own name resolved to 127.0.0.1 (DNS rebinding) and then read what listens there as if it were
its own. Flower has no setting against that, so the class its command starts is replaced by one that checks each
request first.
"""

import sys
from typing import Any, Final
from urllib.parse import urlsplit

from shared.domain.hosts import host_name, is_loopback

COMMAND: Final = "flower.command"
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def refusal(*, host: str, method: str, origin: str | None, site: str | None) -> str:
    """Return why a request to a Flower without a login is refused, or '' if it is allowed.

    `origin` and `site` are the headers `Origin` and `Sec-Fetch-Site`, by which a browser says whose page sends it.
    """
    name = host_name(host)
    if name and not is_loopback(name):
        return f"{name[:200]!r} is none of this machine's names"
    if method in _READING:
        return ""
    if (origin is not None and urlsplit(origin).netloc != host) or site not in (None, "same-origin", "none"):
        return "a page of another site sent this"
    return ""


def guard() -> None:
    """Make `celery … flower` start a Flower that refuses such requests; does nothing in other processes.

    Celery loads the commands of all plugins before the app that it is given, so Flower's is loaded by now.
    """
    command = sys.modules.get(COMMAND)
    if command is not None:
        command.Flower = _guarded(command.Flower)  # type: ignore[attr-defined]


def _guarded(flower: Any) -> Any:
    """Return a subclass of Flower that checks each request before Flower gets it."""
    from tornado.web import RequestHandler  # noqa: PLC0415  only where Flower is installed

    class Refused(RequestHandler):
        """Answers any method with 403 and the reason."""

        def initialize(self, why: str) -> None:
            self._why = why

        def prepare(self) -> None:
            self.set_status(403)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{self._why}; without a login Flower is for its own machine: set FLOWER_BASIC_AUTH\n")

    class Guarded(flower):  # type: ignore[misc]
        """Checks each request if Flower listens on loopback and asks for no login."""

        def find_handler(self, request: Any, **facts: Any) -> Any:
            options = self.options
            is_here = options.unix_socket or is_loopback(options.address or "")
            if is_here and not options.basic_auth and not options.auth:
                headers = request.headers
                why = refusal(
                    host=headers.get("Host", ""),
                    method=request.method,
                    origin=headers.get("Origin"),
                    site=headers.get("Sec-Fetch-Site"),
                )
                if why:
                    return self.get_handler_delegate(request, Refused, {"why": why})
            return super().find_handler(request, **facts)

    return Guarded
