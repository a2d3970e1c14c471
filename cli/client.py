"""A small client of the gateway: submit an image, wait for its prediction."""

import mimetypes
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

Prediction = dict[str, Any]

TERMINAL: Final = frozenset({"succeeded", "failed", "canceled"})
LONGEST_WAIT: Final = timedelta(seconds=60)
MOST_TRIES: Final = 5
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(eq=False)
class Declined(Exception):
    """The gateway did not take a request, or can't be reached; `detail` is in words for people."""

    detail: str

    def __str__(self) -> str:
        """Show the words."""
        return self.detail


class Client:
    """Talks to one gateway; may be used from several threads."""

    def __init__(self, url: str, *, api_key: str = "") -> None:
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

    def submit(self, content: bytes, *, filename: str, model: str | None, wait: bool) -> Prediction:
        """Send one image and return its prediction; with `wait`, when it is terminal. Raises Declined.

        Sent again under one idempotency key when the gateway is busy or the connection breaks: predicted once.
        """
        media = mimetypes.guess_type(filename)[0] or "application/octet-stream"
        prediction = self._ask(
            "POST",
            "/v1/predictions",
            headers={"Idempotency-Key": uuid.uuid4().hex} | ({"Prefer": "wait"} if wait else {}),
            data={"model": model} if model else {},
            files={"image": (filename, content, media)},
        )
        while wait and prediction["status"] not in TERMINAL:
            prediction = self._ask("GET", f"/v1/predictions/{prediction['id']}", headers={"Prefer": "wait"})
        return prediction

    def _ask(self, method: str, path: str, **request: Any) -> Prediction:
        """Ask until there is an answer, at most MOST_TRIES times; raises Declined."""
        for tries_left in reversed(range(MOST_TRIES)):
            try:
                response = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if not tries_left or isinstance(error, httpx.ConnectError):
                    raise Declined(f"Nothing answers at {self._url} ({type(error).__name__})") from error
                continue
            if response.is_success:
                answer: Prediction = response.json()
                return answer
            if not tries_left or response.status_code not in (429, 503):
                raise Declined(_words(response))
            time.sleep(_pause(response))
        raise AssertionError("the last try returns or raises")


def _words(response: httpx.Response) -> str:
    """Return a problem's detail, or as much as another server's answer tells."""
    try:
        problem = response.json()
        return str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, AttributeError):
        return f"{response.request.url} answers {response.status_code} {response.reason_phrase}"


def _pause(response: httpx.Response) -> float:
    """Return the seconds the gateway asks for, within reason."""
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), 10.0) if asked.isdigit() else 1.0
