"""Connections that no Postgres holds up for ever, and that are closed where their server takes no writes any more.

libpq waits without end for a server that is there and silent: stopped, or behind a network that drops its packets.
Each round trip has a limit here: one thread of the process looks at those under way and shuts the socket of a late
one, Unix sockets too, which the waiting thread sees as a server that closed the connection.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import psycopg2
from psycopg2.extensions import connection, cursor

log = logging.getLogger(__name__)

LOST: Final = frozenset(
    {
        "25006",  # a write on a server that is read-only: no primary any more
        "40001",  # on a replica: a conflict with what it replays; elsewhere nobody asks for what could raise it
        "57P01",  # stopped by an administrator
        "57P02",  # another session crashed
        "57P03",  # starting or stopping
        "57P04",  # the database was dropped
        "57P05",  # idle for too long
        "25P03",  # idle in a transaction for too long
    }
)
"""SQLSTATEs after which only a new connection, for which the name is resolved again, can help; and all of class 08."""

PING_LIMIT: Final = timedelta(seconds=2)
LOOK: Final = timedelta(milliseconds=250)


def is_lost(error: BaseException) -> bool:
    """Tell whether a connection is of no use after this error."""
    state = getattr(error, "pgcode", None) or ""
    return state in LOST or state.startswith("08")


class Watch:
    """Shuts the sockets of connections whose round trip is late. Its thread begins with the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadlines: dict[LimitedConnection, float] = {}
        self._some = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def within(self, connection: "LimitedConnection", limit: float) -> Iterator[None]:
        """Give the block `limit` seconds."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a fork takes no threads along
                self._thread = threading.Thread(target=self._run, name="postgres-watch", daemon=True)
                self._thread.start()
            self._deadlines[connection] = time.monotonic() + limit
        self._some.set()
        try:
            yield
        finally:
            with self._lock:
                self._deadlines.pop(connection, None)

    def _run(self) -> None:
        while True:
            self._some.wait()
            time.sleep(LOOK.total_seconds())
            with self._lock:
                now = time.monotonic()
                for late in [one for one, deadline in self._deadlines.items() if deadline <= now]:
                    del self._deadlines[late]
                    _shut(late)
                if not self._deadlines:
                    self._some.clear()


def _shut(late: "LimitedConnection") -> None:
    """End what the connection waits for. Its user is still inside the round trip, so its descriptor is its own."""
    log.warning("postgres_hangs", extra={"limit_s": late.limit})
    with contextlib.suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(late.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


_WATCH: Final = Watch()


class LimitedCursor(cursor):  # type: ignore[misc]  # psycopg2 has no types
    """A cursor whose statements are given up after its connection's limit."""

    connection: "LimitedConnection"

    def execute(self, *arguments: Any, **options: Any) -> None:
        """Execute a statement."""
        with self.connection.limited():
            super().execute(*arguments, **options)

    def copy_expert(self, *arguments: Any, **options: Any) -> None:
        """COPY."""
        with self.connection.limited():
            super().copy_expert(*arguments, **options)


class LimitedConnection(connection):  # type: ignore[misc]
    """A connection that closes itself when a round trip takes longer than `limit` seconds, or says that it is lost."""

    def __init__(self, dsn: str, *, limit: timedelta) -> None:
        super().__init__(dsn)
        self.limit = limit.total_seconds()
        self.cursor_factory = LimitedCursor

    def commit(self) -> None:
        """Commit."""
        with self.limited():
            super().commit()

    def rollback(self) -> None:
        """Roll back."""
        with self.limited():
            super().rollback()

    def takes_writes(self) -> bool:
        """Tell whether the server answers and is no replica, nor read-only by its settings since we connected."""
        limit, self.limit = self.limit, PING_LIMIT.total_seconds()
        try:
            self.autocommit = True
            with self.cursor() as asking:
                asking.execute("SHOW transaction_read_only")
                return bool(asking.fetchone() == ("off",))
        except psycopg2.Error:
            return False
        finally:
            self.limit = limit
            if not self.closed:
                self.autocommit = False

    @contextlib.contextmanager
    def limited(self) -> Iterator[None]:
        """Give up the block at the limit; where it says that the connection is lost, close it, which pools notice."""
        try:
            with _WATCH.within(self, self.limit):
                yield
        except psycopg2.Error as error:
            if is_lost(error):
                self.close()
            raise
