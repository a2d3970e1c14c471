"""The gateway's process: `python -m api.server`. It listens where the settings say and drains on SIGTERM.

Every gateway starts here. uvicorn's own command would choose another HTTP protocol class, which bounds neither heads
nor slow clients, and would cut connections at the first signal: `create_app` refuses it.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from api.edge.http_connection import HttpProtocol
from api.listening import accept_waiting, shared_sockets
from api.main import create_app
from api.state.draining import Draining
from shared import settings
from shared.descriptors import allow_connections

log = logging.getLogger(__name__)

START_FAILED: Final = 3
"""The exit status where the app did not start or the address is taken; uvicorn's own."""


LAST_REQUESTS: Final = timedelta(milliseconds=250)
"""How long a gateway that leaves a shared port waits for requests on connections that it took last."""


class Server(uvicorn.Server):
    """uvicorn's server, which drains at the first SIGTERM and stops at the end of that, or at the second."""

    def __init__(self, config: uvicorn.Config, *, draining: Draining, drain: timedelta) -> None:
        super().__init__(config)
        self._draining = draining
        self._drain = drain
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, listen, and serve until a signal stops it."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close every connection and stop the app; a Unix socket's file goes too."""
        if sockets:
            await self._leave(sockets)
        await super().shutdown(sockets)
        if self.config.uds:
            Path(self.config.uds).unlink(missing_ok=True)  # noqa: ASYNC240  nobody is served any more

    async def _leave(self, sockets: list[socket.socket]) -> None:
        """Leave a port to the other gateways there: take the connections that wait, and give them time to ask."""
        # The doubles keep the sockets open while the loop gives up its own.
        doubles = [one.dup() for one in sockets]
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)
        for connection in accept_waiting(doubles):
            made = partial(HttpProtocol, self.config, self.server_state, self.lifespan.state)
            await asyncio.get_running_loop().connect_accepted_socket(made, connection)
        # Answers close their connections now; the rest of them are idle and end with the shutdown.
        self._draining.has_begun = True
        await asyncio.sleep(LAST_REQUESTS.total_seconds())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGTERM and SIGINT. Before it listens they end the process at once, whatever its start waits for."""
        if not self.started or self._loop is None:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
            return
        stop = partial(super().handle_exit, sig, frame)
        if sig != signal.SIGTERM:
            stop()
            return
        # In a signal's handler only this is safe: log lines and timers are the loop's.
        self._loop.call_soon_threadsafe(self._draining.begin, self._drain, stop)


def make_config(app: ASGIApp, listening: settings.Server) -> uvicorn.Config:
    """Return uvicorn's configuration for the gateway."""
    return uvicorn.Config(
        app,
        host=listening.host,
        port=listening.port,
        uds=str(listening.socket) if listening.socket else None,
        loop="uvloop",
        http=HttpProtocol,
        # `create_app` configures logging; of uvicorn's own lines only what went wrong.
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=round(listening.stop_timeout.total_seconds()),
    )


def main() -> None:
    """Serve until a signal stops it; raises SystemExit where it can't start."""
    listening = settings.read(settings.Server)
    allow_connections()
    draining = Draining()
    app = create_app(draining)
    drain = settings.read(settings.Gateway).drain
    server = Server(make_config(app, listening), draining=draining, drain=drain)
    try:
        sockets = shared_sockets(listening) if listening.share_port and not listening.socket else None
    except OSError as error:
        log.error("address_taken", extra={"host": listening.host, "port": listening.port, "error": str(error)})  # noqa: TRY400
        sys.exit(START_FAILED)
    # When everything is closed, uvicorn sends itself the signal that stopped it once more.
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets)
    if not server.started:
        sys.exit(START_FAILED)


if __name__ == "__main__":
    main()
