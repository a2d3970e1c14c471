"""Sends one webhook: a POST to its receiver and what came of it, in bounded time and memory."""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpcore

from shared.domain.public_addresses import Network
from worker.webhooks import checked_network
from worker.webhooks.checked_network import (
    AddressRefused,
    CertificateRefused,
    CheckedNetwork,
    HostUnknown,
    Resolve,
    SentTooMuch,
)
from worker.webhooks.connection_pool import ConnectionPool

log = logging.getLogger(__name__)

USER_AGENT: Final = "Darkroom-Webhooks/1"
LONGEST_ERROR: Final = 500
LONGEST_RETRY_AFTER: Final = timedelta(hours=24)

# For an answer's head, which httpcore limits to 100 KiB, and its chunks' sizes.
_FRAMING_BYTES: Final = 256 * 1024
_UNWRITABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SECONDS: Final = re.compile(r"0*([0-9]{1,9})")
_MANY_SECONDS: Final = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of an attempt. Every text is valid Unicode without NUL, as Postgres wants it."""

    status: int | None
    """The HTTP status; None where there was no answer."""
    error: str | None
    """Why it failed, for the owner, in at most 500 characters; None exactly for a 2xx.

    It reveals nothing about our network: no address of a name, and no difference between a name known only inside and
    an unknown one, or between a closed port, a filtered one and one where something else listens.
    """
    reason: str | None
    """The same in full, for the operator's log."""
    retry_after: timedelta | None
    """The receiver's `Retry-After`, 0 to 24 h; None if it sent none."""
    milliseconds: float
    response: str
    """The beginning of a failed answer's body; empty for a success."""

    @property
    def shown_milliseconds(self) -> float:
        """Return what the owner is shown: 0 without an answer, because the time would reveal what `error` does not."""
        return 0.0 if self.status is None else self.milliseconds


@dataclass(slots=True)
class _Received:
    """What has come of an answer so far."""

    status: int | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytearray = field(default_factory=bytearray)

    def header(self, name: bytes) -> str | None:
        """Return the first header of this name, given in lower case."""
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == name), None)


class Sender:
    """POSTs to receivers at allowed addresses, over connections that are kept open for the next POST.

    Does not use the environment's proxies, follow redirects or unpack compressed bodies. For one event loop; close it
    with `aclose`.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[Network] = (),
        timeout: timedelta = timedelta(seconds=15),
        max_response_bytes: int = 64 * 1024,
        max_connections: int = 100,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Resolve = checked_network.resolve,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._timeout = timeout
        self._max_response_bytes = max_response_bytes
        self._clock = clock
        self._now = now
        self._free_connections = asyncio.Semaphore(max_connections)
        self._connections = ConnectionPool(
            CheckedNetwork(allowed=allowed, max_answer_bytes=max_response_bytes + _FRAMING_BYTES, resolve=resolve),
            ssl_context=ssl_context or ssl.create_default_context(),
            most=max_connections,
        )

    async def send(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST a JSON body once; `timeout` limits the whole attempt, from when a connection is free.

        Whatever the URL and the receiver are, this raises nothing; ValueError for headers outside ASCII. A user and
        password in the URL are not sent.
        """
        fields = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        async with self._free_connections:
            received, problem, started = _Received(), None, self._clock()
            try:
                async with asyncio.timeout(self._timeout.total_seconds()):
                    await self._exchange(_read_url(url), body, fields, received)
            except Exception as error:  # noqa: BLE001  one receiver must not end the deliveries to all others
                problem = error
            return self._result(received, problem, milliseconds=(self._clock() - started) * 1000)

    async def aclose(self) -> None:
        """Close every connection; those in use once their attempts end."""
        await self._connections.aclose()

    async def _exchange(
        self, url: httpcore.URL, body: bytes, fields: Sequence[tuple[bytes, bytes]], received: _Received
    ) -> None:
        """Send the request and store what comes, up to the limit; leaving the rest unread closes the connection."""
        ours = [
            (b"Host", _host_field(url)),
            (b"User-Agent", USER_AGENT.encode()),
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(body)),
            (b"Accept-Encoding", b"identity"),  # only the beginning of a body is read, and nothing unpacked
        ]
        request = httpcore.Request("POST", url, headers=[*ours, *fields], content=body)
        async with self._connections.stream(request) as response:
            received.status, received.headers = response.status, response.headers
            async for chunk in response.aiter_stream():
                received.body += chunk
                if len(received.body) >= self._max_response_bytes:
                    break

    def _result(self, received: _Received, problem: Exception | None, *, milliseconds: float) -> Answer:
        """Return the result: by the status if there is one, even if the rest of the answer failed."""
        error = reason = None
        retry_after, response = None, ""
        if received.status is None:
            error, reason = _writable(self._explain(problem)), _writable(_explain_in_full(problem))
        elif not 200 <= received.status < 300:  # noqa: PLR2004  RFC 9110, section 15.3
            redirected = 300 <= received.status < 400  # noqa: PLR2004  RFC 9110, section 15.4
            error = reason = f"answered {received.status}" + ("; redirects are not followed" if redirected else "")
            retry_after = read_retry_after(received.header(b"retry-after"), now=self._now())
            response = _as_text(received.body, self._max_response_bytes)
        return Answer(
            status=received.status,
            error=error,
            reason=reason,
            retry_after=retry_after,
            milliseconds=milliseconds,
            response=response,
        )

    def _explain(self, problem: Exception | None) -> str:
        """Return for the owner why there is no answer; `Answer.error` says what it must not reveal."""
        match problem:
            case AddressRefused() | HostUnknown():
                return f"{problem.host} leads to no address that may be called"
            case CertificateRefused() | SentTooMuch():
                return str(problem)
            case TimeoutError() | httpcore.NetworkError() | httpcore.RemoteProtocolError() | OSError():
                return f"no HTTP answer within {self._timeout.total_seconds():g} s"
            case httpcore.LocalProtocolError() | ValueError():
                return f"the URL can't be called: {problem}"
        log.error("attempt_broke", exc_info=problem)
        return "the attempt broke"


def _explain_in_full(problem: Exception | None) -> str:
    """Return for the operator what went wrong."""
    match problem:
        case TimeoutError():
            return "timed out"
        case httpcore.ReadError() | httpcore.WriteError():
            return "the connection broke before there was an answer"
        case AddressRefused() | HostUnknown() | CertificateRefused() | SentTooMuch() | httpcore.ConnectError():
            return str(problem)
    return f"{type(problem).__name__}: {problem}"


def _writable(text: str) -> str:
    return _UNWRITABLE.sub(" ", text)[:LONGEST_ERROR]


def read_retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """Read a `Retry-After` header (RFC 9110, section 10.2.3): seconds or an HTTP date, clamped to 0..24 h.

    None if there is none or it can't be read; `now` is timezone-aware.
    """
    text = (value or "").strip()
    if match := _SECONDS.fullmatch(text):
        return min(timedelta(seconds=int(match[1])), LONGEST_RETRY_AFTER)
    if _MANY_SECONDS.fullmatch(text):
        return LONGEST_RETRY_AFTER
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return min(max(date.replace(tzinfo=date.tzinfo or UTC) - now, timedelta(0)), LONGEST_RETRY_AFTER)


def _read_url(url: str) -> httpcore.URL:
    """Return the URL to call, without user, password and fragment; raises ValueError with a message for people.

    httpcore's own parsing would drop `;…` from the path (RFC 3986, section 3.3).
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("it begins with neither https:// nor http://")
    if not url.isascii():
        raise ValueError("it holds a character outside ASCII")
    if not parts.hostname or parts.port == 0:
        raise ValueError("it names no host")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return httpcore.URL(scheme=parts.scheme, host=parts.hostname, port=parts.port, target=target)


def _host_field(url: httpcore.URL) -> bytes:
    """Return the `Host` header (RFC 9110, section 7.2); httpcore's own has no brackets around an IPv6 address."""
    host = b"[%b]" % url.host if b":" in url.host else url.host
    return host if url.port is None else b"%b:%d" % (host, url.port)


def _as_text(body: bytes | bytearray, limit: int) -> str:
    """Return the beginning of a body as text without NUL that fits into `limit` bytes of UTF-8."""
    text = body[:limit].decode("utf-8", "replace").replace("\0", "")
    return text.encode()[:limit].decode("utf-8", "ignore")  # a replacement character takes three bytes
