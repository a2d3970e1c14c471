"""Connections to addresses that may be called, whatever a name says: what is checked is what is connected to."""

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

# A lookup of a dead name blocks its thread for 10 s and more; the live ones need somewhere to go meanwhile.
LOOKUPS: Final = 64
# A name may lead to a thousand addresses; we are nobody's port scanner.
MOST_ADDRESSES: Final = 8
# Long enough for two lost SYNs (sent again after 1 and 3 s), short enough to get to the next address.
PATIENCE: Final = timedelta(seconds=4)


@dataclass(eq=False)
class AddressRefused(Exception):
    """Every address of the host is one that must not be called; `refused` pairs each with why."""

    host: str
    refused: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """Say it in a sentence."""
        addresses = ", ".join(f"{address} ({why})" for address, why in self.refused)
        return f"{self.host} leads to {addresses}, which must not be called"


@dataclass(eq=False)
class HostUnknown(Exception):
    """The host's name has no address, or can be none."""

    host: str
    reason: str

    def __str__(self) -> str:
        """Say it in a sentence."""
        return f"{self.host} leads to no address: {self.reason}"


@dataclass(eq=False)
class CertificateRefused(Exception):
    """The host's certificate does not prove that it is the host."""

    host: str
    reason: str

    def __str__(self) -> str:
        """Say it in a sentence."""
        return f"no TLS with {self.host}: the certificate was refused, {self.reason}"


@dataclass(eq=False)
class SentTooMuch(Exception):
    """The other side sent more in answer than anybody will read, in bytes."""

    limit: int

    def __str__(self) -> str:
        """Say it in a sentence."""
        return f"over {self.limit} bytes came and no whole answer"


def resolve(host: str) -> Sequence[str]:
    """Return a host's addresses, best first (RFC 6724); blocks. Raises OSError, or ValueError for what is no name."""
    return [_with_scope(*found[4]) for found in getaddrinfo(host, None, type=SOCK_STREAM)]


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Where httpcore gets its connections: each to an address that `shared.domain.public_addresses` lets through.

    The name is looked up once and the connection made to what was found, so that a name which changes its mind in
    between (DNS rebinding) gains nothing. TLS is none of this class's business: httpcore verifies the URL's host.
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
        """Connect to the first of the host's addresses that may be called and answers; `timeout` is in seconds.

        Raises AddressRefused, HostUnknown, or httpcore.ConnectError, which says of each address why not.
        """
        failures = []
        addresses = self._check(host, await self._look_up(host))
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
        """Raise AddressRefused: a socket of this machine is nobody's receiver."""
        raise AddressRefused(host="a socket", refused=((path, "local"),))

    async def sleep(self, seconds: float) -> None:
        """Wait between httpcore's own attempts."""
        await self._network.sleep(seconds)

    def close(self) -> None:
        """Begin no more lookups; those that block end when they end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str) -> Sequence[str]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._resolve, host)
        except OSError as error:
            raise HostUnknown(host=host, reason=error.strerror or str(error)) from error
        except ValueError as error:
            raise HostUnknown(host=host, reason=str(error)) from error

    def _check(self, host: str, addresses: Sequence[str]) -> Sequence[str]:
        """Return the first few that may be called, at least one."""
        found = list(dict.fromkeys(addresses))[:MOST_ADDRESSES]
        if not found:
            raise HostUnknown(host=host, reason="the lookup found nothing")
        verdicts = [(address, refusal_reason(address, allowed=self._allowed)) for address in found]
        callable_ones = [address for address, why in verdicts if why is None]
        if not callable_ones:
            raise AddressRefused(host=host, refused=tuple((address, why) for address, why in verdicts if why))
        return callable_ones


class BoundedStream(httpcore.AsyncNetworkStream):
    """A connection on which at most `max_answer_bytes` are read after a write.

    The body's limit alone would let 100 Continue, or chunks of one byte under names of 100 kB, go on without end.
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
        """Send, and begin to count anew."""
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

        Raises CertificateRefused, or httpcore.ConnectError in words.
        """
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except httpcore.ConnectError as error:
            if isinstance(cause := _bottom(error), ssl.SSLCertVerificationError):
                reason = cause.verify_message.rstrip(".")
                raise CertificateRefused(host=server_hostname or "it", reason=reason) from error
            raise httpcore.ConnectError(f"no TLS with {server_hostname}: {_reason(error)}") from error
        except asyncio.CancelledError:
            await self._stream.aclose()  # httpcore closes it after every error, but not when it is canceled
            raise
        return BoundedStream(stream, max_answer_bytes=self._max_answer_bytes)

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks of the connection beneath."""
        return self._stream.get_extra_info(info)


def _with_scope(address: str | int, *rest: Any) -> str:
    """Return a socket address's host with its scope, which may stand beside it: `(host, port, flow, scope)`."""
    scope = rest[2] if len(rest) > 2 else 0  # noqa: PLR2004  IPv4 has no third
    return f"{address}%{scope}" if scope and "%" not in str(address) else str(address)


def _shorter(timeout: float | None) -> float:
    patience = PATIENCE.total_seconds()
    return patience if timeout is None else min(timeout, patience)


def _bottom(error: BaseException) -> BaseException:
    """Return the first of a chain of errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _reason(error: BaseException) -> str:
    """Return what is at the bottom of a chain of errors, in words."""
    match error := _bottom(error):
        case ssl.SSLError():
            return (error.reason or str(error)).replace("_", " ").lower()
        case TimeoutError():
            return "timed out"
        case OSError(errno=int(number)):
            return os.strerror(number)
    return str(error) or "the other side hung up"
