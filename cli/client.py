"""A client of the gateway: submits an image and waits for its prediction; `ask` sends any other request."""

import mimetypes
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from cli.home import command_line, find_home
from cli.terminal.names import sent

Prediction = dict[str, Any]

NO_PIPELINE: Final[Mapping[str, str | None]] = MappingProxyType({})
TERMINAL: Final = frozenset({"succeeded", "failed", "canceled"})
LONGEST_WAIT: Final = timedelta(seconds=60)
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_BUSY: Final = (429, 503)


@dataclass(eq=False)
class Declined(Exception):
    """The gateway refused a request, or can't be reached; `detail` says why, in words for people.

    `status` is the response's, 0 without one; `facts` are the members of its problem document.
    """

    detail: str
    status: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the detail."""
        return self.detail

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later: nobody answered, or not now."""
        return (
            self.status < httpx.codes.BAD_REQUEST
            or self.status >= httpx.codes.INTERNAL_SERVER_ERROR
            or (self.status in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a request is tried, and the pauses between, which double and are at least what the gateway asks for.

    A refused connection is retried only with `awaits_gateway`.
    """

    tries: int
    first_pause: timedelta = timedelta(0)
    longest_pause: timedelta = timedelta(seconds=10)
    awaits_gateway: bool = False

    def pauses(self) -> list[timedelta]:
        """Return the pause after each try but the last."""
        return [min(self.first_pause * 2**tried, self.longest_pause) for tried in range(self.tries - 1)]


BRIEF: Final = Patience(tries=5)
LASTING: Final = Patience(tries=10, first_pause=timedelta(seconds=0.5), awaits_gateway=True)
"""Retries for nearly a minute, by when a gateway that restarts is back."""


class Client:
    """Talks to one gateway; may be used from several threads. `pause` sleeps a number of seconds between tries.

    `home` is the stack's that a command to paste is about, where the gateway asks for a key.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        home: Path | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.pause = pause
        self._home = home
        self._url = url
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            # The gateway answers a request with `Prefer: wait` after up to a minute.
            timeout=httpx.Timeout(LONGEST_WAIT.total_seconds() + 15, connect=5),
            # No proxy for requests to this machine itself.
            trust_env=urlsplit(url).hostname not in _LOOPBACK,
        )

    def __enter__(self) -> Self:
        """Use as a context to close the connections."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self,
        content: bytes,
        *,
        filename: str,
        model: str | None,
        wait: bool,
        webhook: str | None = None,
        pipeline: Mapping[str, str | None] = NO_PIPELINE,
    ) -> Prediction:
        """Send one image and return its prediction; with `wait`, when it is terminal. Raises Declined.

        `pipeline` has the fields of an ensemble or a chain, as texts.

        Retried under the same idempotency key when the gateway is busy or the connection breaks: predicted once.
        """
        media = mimetypes.guess_type(filename)[0] or "application/octet-stream"
        answer = self.ask(
            "POST",
            "/v1/predictions",
            headers={"Idempotency-Key": uuid.uuid4().hex} | ({"Prefer": "wait"} if wait else {}),
            data=fields(model=model, webhook=webhook, **pipeline),
            files={"image": (filename, content, media)},
        )
        prediction: Prediction = answer.json()
        while wait and prediction["status"] not in TERMINAL:
            prediction = self.ask("GET", f"/v1/predictions/{prediction['id']}", headers={"Prefer": "wait"}).json()
        return prediction

    def ask(
        self, method: str, path: str, *, patience: Patience = BRIEF, stream: bool = False, **request: Any
    ) -> httpx.Response:
        """Send a request until it succeeds and return the response, with `stream` its body unread; raises Declined."""
        for pause in (*patience.pauses(), None):
            try:
                response = self._http.send(self._http.build_request(method, path, **request), stream=stream)
                if response.is_success:
                    return response
                response.read()
            except httpx.TransportError as error:
                nobody = isinstance(error, httpx.ConnectError) and not patience.awaits_gateway
                if pause is None or nobody:
                    raise Declined(f"Nothing answers at {self._url} ({type(error).__name__})") from error
                self.pause(pause.total_seconds())
                continue
            if pause is None or response.status_code not in _BUSY:
                raise self._declined(response)
            self.pause(max(pause.total_seconds(), _asked_pause(response)))
        raise AssertionError("the last try returns or raises")

    def _declined(self, response: httpx.Response) -> Declined:
        """Return the error of a response: its problem's detail, or its status where it is not the gateway's."""
        try:
            problem = response.json()
            words = str(problem.get("detail") or problem["title"])
        except (ValueError, KeyError, AttributeError):
            words = f"{response.request.url} answers {response.status_code} {response.reason_phrase}"
            return Declined(words, response.status_code)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            make = command_line("keys create NAME", self._home or find_home(None))
            words += f". Set DARKROOM_API_KEY to one. Make one: {make}"
        return Declined(words, response.status_code, problem)


def fields(**given: str | None) -> dict[str, str]:
    """Return the form fields that have a value, as they are sent."""
    return {name: sent(value) for name, value in given.items() if value}


def _asked_pause(response: httpx.Response) -> float:
    """Return the response's Retry-After in seconds, 60 at most; 1 without one."""
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), 60.0) if asked.isdecimal() else 1.0
