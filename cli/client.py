"""A small client of the gateway: submit an image, wait for its prediction; what else is asked, `ask` asks."""

import mimetypes
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from cli.terminal.names import sent

Prediction = dict[str, Any]

TERMINAL: Final = frozenset({"succeeded", "failed", "canceled"})
LONGEST_WAIT: Final = timedelta(seconds=60)
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_BUSY: Final = (429, 503)


@dataclass(eq=False)
class Declined(Exception):
    """The gateway did not take a request, or can't be reached; `detail` is in words for people.

    `status` is the answer's, 0 where there was none; `facts` are the problem's members.
    """

    detail: str
    status: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Show the words."""
        return self.detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a request is tried, and the pauses between: each twice as long, and never less than the gateway asks.

    Only where `awaits_gateway` is one tried again that nobody listened to.
    """

    tries: int
    first_pause: timedelta = timedelta(0)
    longest_pause: timedelta = timedelta(seconds=10)
    awaits_gateway: bool = False

    def pauses(self) -> list[timedelta]:
        """Return what to wait after each try but the last."""
        return [min(self.first_pause * 2**tried, self.longest_pause) for tried in range(self.tries - 1)]


BRIEF: Final = Patience(tries=5)


class Client:
    """Talks to one gateway; may be used from several threads. `pause` waits for so many seconds between tries."""

    def __init__(self, url: str, *, api_key: str = "", pause: Callable[[float], object] = time.sleep) -> None:
        self.pause = pause
        self._url = url
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            # The server holds a waiting request for up to a minute.
            timeout=httpx.Timeout(LONGEST_WAIT.total_seconds() + 15, connect=5),
            # A proxy is no way to this machine itself.
            trust_env=urlsplit(url).hostname not in _LOOPBACK,
        )

    def __enter__(self) -> Self:
        """Use as a context to close the connections."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self, content: bytes, *, filename: str, model: str | None, wait: bool, webhook: str | None = None
    ) -> Prediction:
        """Send one image and return its prediction; with `wait`, when it is terminal. Raises Declined.

        Sent again under one idempotency key when the gateway is busy or the connection breaks: predicted once.
        """
        media = mimetypes.guess_type(filename)[0] or "application/octet-stream"
        answer = self.ask(
            "POST",
            "/v1/predictions",
            headers={"Idempotency-Key": uuid.uuid4().hex} | ({"Prefer": "wait"} if wait else {}),
            data=fields(model=model, webhook=webhook),
            files={"image": (filename, content, media)},
        )
        prediction: Prediction = answer.json()
        while wait and prediction["status"] not in TERMINAL:
            prediction = self.ask("GET", f"/v1/predictions/{prediction['id']}", headers={"Prefer": "wait"}).json()
        return prediction

    def ask(
        self, method: str, path: str, *, patience: Patience = BRIEF, stream: bool = False, **request: Any
    ) -> httpx.Response:
        """Ask until there is a success and return it, with `stream` its body unread; raises Declined."""
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
                raise _declined(response)
            self.pause(max(pause.total_seconds(), _asked_pause(response)))
        raise AssertionError("the last try returns or raises")


def fields(**given: str | None) -> dict[str, str]:
    """Return the form fields that have a value."""
    return {name: sent(value) for name, value in given.items() if value}


def _declined(response: httpx.Response) -> Declined:
    """Return a problem by its detail, or as much as another server's answer tells."""
    try:
        problem = response.json()
        words = str(problem.get("detail") or problem["title"])
        if response.status_code == httpx.codes.UNAUTHORIZED:
            words += ". Set DARKROOM_API_KEY to one; darkroom keys create NAME makes it"
        return Declined(words, response.status_code, problem)
    except (ValueError, KeyError, AttributeError):
        words = f"{response.request.url} answers {response.status_code} {response.reason_phrase}"
        return Declined(words, response.status_code)


def _asked_pause(response: httpx.Response) -> float:
    """Return the seconds the gateway asks for, within reason."""
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), 60.0) if asked.isdecimal() else 1.0
