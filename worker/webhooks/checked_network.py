"""Network connections to allowed addresses only: the address that was checked is the one that is connected to."""

import asyncio
import os
import ssl
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from socket import SOCK_STREAM, getaddrinfo
from typing import Any, Final

import httpcore

from shared.domain.public_addresses import Network, refusal_reason

Resolve = Callable[[str], Sequence[str]]

# A lookup of a dead name blocks its thread for 10 s and more; lookups of other names need threads meanwhile.
LOOKUPS: Final = 64
# A name may have a thousand addresses; trying them all would make this a port scanner.
MOST_ADDRESSES: Final = 8
# Long enough for two lost SYNs (sent again after 1 and 3 s), short enough to get to the next address.
PATIENCE: Final = timedelta(seconds=4)


@dataclass(eq=False)
class AddressRefused(Exception):
    """None of the host's addresses may be called; `refused` pairs each with the reason."""

    host: str
    refused: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """Return the error as a sentence."""
        addresses = ", ".join(f"{address} ({why})" for address, why in self.refused)
        return f"{self.host} leads to {addresses}, which must not be called"


@dataclass(eq=False)
class HostUnknown(Exception):
    """The host's name has no address, or is not a valid name."""

    host: str
    reason: str

    def __str__(self) -> str:
        """Return the error as a sentence."""
        return f"{self.host} leads to no address: {self.reason}"


@dataclass(eq=False)
class CertificateRefused(Exception):
    """The host's TLS certificate is not valid for it."""

    host: str
    reason: str

    def __str__(self) -> str:
        """Return the error as a sentence."""
        return f"no TLS with {self.host}: the certificate was refused, {self.reason}"


@dataclass(eq=False)
class SentTooMuch(Exception):
    """The other side sent more bytes in answer than the limit."""

    limit: int

    def __str__(self) -> str:
        """Return the error as a sentence."""
        return f"over {self.limit} bytes came and no whole answer"


def resolve(host: str) -> Sequence[str]:
    """Return a host's addresses, best first (RFC 6724); blocks. Raises OSError, or ValueError for an invalid name."""
    return [_with_scope(*found[4]) for found in getaddrinfo(host, None, type=SOCK_STREAM)]


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """httpcore's network backend: connects only to addresses that `shared.domain.public_addresses` allows.

    A name is looked up once and the connection made to the address found, so that a name whose address changes in
    between (DNS rebinding) gains nothing. TLS stays httpcore's part, which verifies the URL's host.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[Network],
        max_answer_bytes: int,
        resolve: Resolve = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allowed = allowed
        self._max_answer_bytes = max_answer_bytes
        self._resolve = resolve
        self._network = network or httpcore.AnyIOBackend()
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="resolve")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first allowed address of the host that accepts; `timeout` is in seconds.

        Raises AddressRefused, HostUnknown, or httpcore.ConnectError, which says for each address why it failed.
        """
        failures = []
        addresses = self._allowed_addresses(host, await self._look_up(host))
        for address in addresses:
            patience = timeout if address == addresses[-1] else _shorter(timeout)
            try:
                stream = await self._network.connect_tcp(address, port, patience, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failures.append(f"{address}: {_reason(error)}")
            else:
                return BoundedStream(stream, max_answer_bytes=self._max_answer_bytes)
        raise httpcore.ConnectError(f"no connection to {', '.join(failures)}")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109  httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Raise AddressRefused: a Unix socket of this machine is no receiver."""
        raise AddressRefused(host="a socket", refused=((path, "local"),))

    async def sleep(self, seconds: float) -> None:
        """Wait, for httpcore between its own attempts."""
        await self._network.sleep(seconds)

    def close(self) -> None:
        """Start no more lookups; those under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str) -> Sequence[str]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._resolve, host)
        except OSError as error:
            raise HostUnknown(host=host, reason=error.strerror or str(error)) from error
        except ValueError as error:
            raise HostUnknown(host=host, reason=str(error)) from error

    def _allowed_addresses(self, host: str, addresses: Sequence[str]) -> Sequence[str]:
        """Return the first few addresses that may be called, at least one; raises AddressRefused or HostUnknown."""
        found = list(dict.fromkeys(addresses))[:MOST_ADDRESSES]
        if not found:
            raise HostUnknown(host=host, reason="the lookup found nothing")
        verdicts = [(address, refusal_reason(address, allowed=self._allowed)) for address in found]
        callable_ones = [address for address, why in verdicts if why is None]
        if not callable_ones:
            raise AddressRefused(host=host, refused=tuple((address, why) for address, why in verdicts if why))
        return callable_ones


class BoundedStream(httpcore.AsyncNetworkStream):
    """A connection on which at most `max_answer_bytes` are read after each write.

    A limit on the body alone would not stop endless `100 Continue` answers, nor chunks of one byte with 100 kB of
    extensions each.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, *, max_answer_bytes: int) -> None:
        self._stream = stream
        self._max_answer_bytes = max_answer_bytes
        self._read = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  httpcore's
        """Return up to `max_bytes`, empty at the end; raises SentTooMuch over the limit."""
        data = await self._stream.read(max_bytes, timeout)
        self._read += len(data)
        if self._read > self._max_answer_bytes:
            raise SentTooMuch(limit=self._max_answer_bytes)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  httpcore's
        """Send, and restart the count of bytes read."""
        self._read = 0
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        """Return the connection under TLS, verified for that name.

        Raises CertificateRefused, or httpcore.ConnectError with a message for people.
        """
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except httpcore.ConnectError as error:
            if isinstance(cause := _first_cause(error), ssl.SSLCertVerificationError):
                reason = cause.verify_message.rstrip(".")
                raise CertificateRefused(host=server_hostname or "it", reason=reason) from error
            raise httpcore.ConnectError(f"no TLS with {server_hostname}: {_reason(error)}") from error
        except asyncio.CancelledError:
            await self._stream.aclose()  # httpcore closes it after an error, but not after a cancellation
            raise
        return BoundedStream(stream, max_answer_bytes=self._max_answer_bytes)

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks about the underlying connection."""
        return self._stream.get_extra_info(info)


def _with_scope(address: str | int, *rest: Any) -> str:
    """Return the host of a socket address `(host, port, flow, scope)` with its scope appended where it has one."""
    scope = rest[2] if len(rest) > 2 else 0  # noqa: PLR2004  an IPv4 address has neither flow nor scope
    return f"{address}%{scope}" if scope and "%" not in str(address) else str(address)


def _shorter(timeout: float | None) -> float:
    patience = PATIENCE.total_seconds()
    return patience if timeout is None else min(timeout, patience)


def _first_cause(error: BaseException) -> BaseException:
    """Return the first cause of a chain of errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _reason(error: BaseException) -> str:
    """Return the first cause of a chain of errors, in words."""
    match error := _first_cause(error):
        case ssl.SSLError():
            return (error.reason or str(error)).replace("_", " ").lower()
        case TimeoutError():
            return "timed out"
        case OSError(errno=int(number)):
            return os.strerror(number)
    return str(error) or "the other side hung up"
