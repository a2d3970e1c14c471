"""A proxy between a client and Redis on a Unix socket: records writes, and loses or delays them."""

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self


class Relay:
    """Passes bytes on; clients connect to `url`. It records `connections`, and `writes`, the chunks of all clients."""

    def __init__(self, directory: Path, *, to: str) -> None:
        self.url = f"unix://{directory}/relay.sock"
        self.connections = 0
        self.writes: list[bytes] = []
        self.lose_answers = 0
        """So many connections lose the next answer, and themselves with it."""
        self.stall_after: int | None = None
        """Connections after so many get nothing through."""
        self._to = to.removeprefix("unix://")
        self._pumps: set[asyncio.Task[None]] = set()

    def lead_to(self, url: str) -> None:
        """Pass the bytes of new connections on to another server."""
        self._to = url.removeprefix("unix://")

    def passes(self, data: bytes) -> bool:  # noqa: ARG002  those that override it need it
        """Tell whether a client's bytes reach the server; a connection whose bytes do not is closed."""
        return True

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.url.removeprefix("unix://"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        server, to_server = await asyncio.open_unix_connection(self._to)
        both = (
            self._pump(client, to_server, number=number, answers=False),
            self._pump(server, to_client, number=number, answers=True),
        )
        for pump in map(asyncio.ensure_future, both):
            self._pumps.add(pump)
            for end in (to_client, to_server):
                pump.add_done_callback(lambda _, end=end: end.close())

    async def _pump(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, number: int, answers: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(1024 * 1024):
                if answers and self.lose_answers:
                    self.lose_answers -= 1
                    return
                if not answers:
                    self.writes.append(data)
                    if not self.passes(data):
                        return
                if self.stall_after is None or number <= self.stall_after:
                    to.write(data)
                    await to.drain()
