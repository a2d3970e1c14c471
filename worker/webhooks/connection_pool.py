"""A pool of HTTP/1.1 connections, kept open for a while for the next request to the same origin."""

import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Final

import httpcore

from worker.webhooks.checked_network import CheckedNetwork

# Node and uvicorn close an idle connection after 5 s; a POST sent at that moment is lost.
KEEP_ALIVE: Final = timedelta(seconds=4)


class ConnectionPool:
    """At most `most` connections, idle ones included; each is in use, idle or closed.

    httpcore's own pool walks all of its connections whenever one is taken or returned: with 200 receivers it made 64
    requests a second, with 900 it made 40 and let some time out. And it loses a slot for ever when the request that it
    gave it to is canceled at that moment.
    """

    def __init__(self, network: CheckedNetwork, *, ssl_context: ssl.SSLContext, most: int) -> None:
        """Begin with none; the caller sees to it that no more than `most` are in use at once."""
        self._network = network
        self._ssl_context = ssl_context
        self._most = most
        self._in_use = 0
        # For all origins together and for each; the longest idle first.
        self._idle: dict[httpcore.AsyncHTTPConnection, str] = {}
        self._idle_to: defaultdict[str, list[httpcore.AsyncHTTPConnection]] = defaultdict(list)
        self._closed = False

    @asynccontextmanager
    async def stream(self, request: httpcore.Request) -> AsyncIterator[httpcore.Response]:
        """Send the request and yield the answer with its body unread; raises what httpcore and the network raise.

        Leaving the block before the body's end closes the connection.
        """
        origin = request.url.origin
        connection = self._take(str(origin)) or httpcore.AsyncHTTPConnection(
            origin,
            ssl_context=self._ssl_context,
            keepalive_expiry=KEEP_ALIVE.total_seconds(),
            network_backend=self._network,
        )
        self._in_use += 1
        try:
            await self._close_old()
            async with aclosing(await connection.handle_async_request(request)) as response:
                yield response
        finally:
            self._in_use -= 1
            if connection.is_available() and not self._closed:
                self._idle[connection] = str(origin)
                self._idle_to[str(origin)].append(connection)
            else:
                await connection.aclose()

    async def aclose(self) -> None:
        """Close the idle connections now and those in use after their requests."""
        self._closed = True
        self._network.close()
        while self._idle:
            await self._close_oldest()

    def _take(self, origin: str) -> httpcore.AsyncHTTPConnection | None:
        """Return an idle connection to the origin, the one used last, unless the other side has closed it."""
        kept = self._idle_to.get(origin)
        if not kept or kept[-1].has_expired():
            return None
        connection = kept[-1]
        self._forget(connection)
        return connection

    async def _close_old(self) -> None:
        while self._idle and (self._in_use + len(self._idle) > self._most or next(iter(self._idle)).has_expired()):
            await self._close_oldest()

    async def _close_oldest(self) -> None:
        connection = next(iter(self._idle))
        self._forget(connection)
        await connection.aclose()

    def _forget(self, connection: httpcore.AsyncHTTPConnection) -> None:
        origin = self._idle.pop(connection)
        self._idle_to[origin].remove(connection)
        if not self._idle_to[origin]:
            del self._idle_to[origin]
