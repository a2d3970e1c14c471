"""psycopg2 connections whose round trips have a time limit, and that close when their server accepts no more writes.

libpq waits for ever for a server that is silent: stopped, or behind a network that drops packets. Here one thread of
the process watches all round trips and shuts the socket (TCP or Unix) of a late one; the waiting thread sees a closed
connection.
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
        "25006",  # a write on a server that is read-only: it is no longer the primary
        "40001",  # on a replica: a conflict with what it replays; no statement of Darkroom raises it elsewhere
        "57P01",  # stopped by an administrator
        "57P02",  # another session crashed
        "57P03",  # starting or stopping
        "57P04",  # the database was dropped
        "57P05",  # idle for too long
        "25P03",  # idle in a transaction for too long
    }
)
"""SQLSTATEs after which only a new connection helps, for which the name is resolved again; class 08 counts too."""

PING_LIMIT: Final = timedelta(seconds=2)
WATCH_INTERVAL: Final = timedelta(milliseconds=250)


def is_lost(error: BaseException) -> bool:
    """Tell whether a connection can't be used any more after this error."""
    state = getattr(error, "pgcode", None) or ""
    return state in LOST or state.startswith("08")


class RoundTripWatch:
    """Shuts the sockets of connections whose round trip is late. Its thread starts with the first round trip."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadlines: dict[LimitedConnection, float] = {}
        self._some = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def within(self, connection: "LimitedConnection", limit: float) -> Iterator[None]:
        """Watch the connection while the block runs, which may take `limit` seconds."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a forked process has no threads of its parent
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
            time.sleep(WATCH_INTERVAL.total_seconds())
            with self._lock:
                now = time.monotonic()
                for late in [one for one, deadline in self._deadlines.items() if deadline <= now]:
                    del self._deadlines[late]
                    _shut(late)
                if not self._deadlines:
                    self._some.clear()


def _shut(late: "LimitedConnection") -> None:
    """Shut the connection's socket. Its user is still inside the round trip, so the descriptor is not another's yet."""
    log.warning("postgres_hangs", extra={"limit_s": late.limit})
    late.is_shut = True
    with contextlib.suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(late.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


_WATCH: Final = RoundTripWatch()


class LimitedCursor(cursor):  # type: ignore[misc]  # psycopg2 has no types
    """A cursor whose statements end at its connection's limit."""

    connection: "LimitedConnection"

    def execute(self, *arguments: Any, **options: Any) -> None:
        """Execute a statement within the limit."""
        with self.connection.limited():
            super().execute(*arguments, **options)

    def copy_expert(self, *arguments: Any, **options: Any) -> None:
        """COPY within the limit."""
        with self.connection.limited():
            super().copy_expert(*arguments, **options)


class LimitedConnection(connection):  # type: ignore[misc]
    """A connection that closes when a round trip takes longer than `limit`, or fails with an error of a lost one."""

    def __init__(self, dsn: str, *, limit: timedelta) -> None:
        super().__init__(dsn)
        self.limit = limit.total_seconds()
        self.is_shut = False
        self.cursor_factory = LimitedCursor

    def commit(self) -> None:
        """Commit within the limit."""
        with self.limited():
            super().commit()

    def rollback(self) -> None:
        """Roll back within the limit."""
        with self.limited():
            super().rollback()

    def takes_writes(self) -> bool:
        """Tell whether the server answers within PING_LIMIT and accepts writes: no replica, not set to read-only."""
        limit, self.limit = self.limit, PING_LIMIT.total_seconds()
        try:
            self.autocommit = True
            with self.cursor() as asking:
                asking.execute("SHOW transaction_read_only")
                # The answer may have come as the time ended: it is read, and the next statement would fail.
                return bool(asking.fetchone() == ("off",)) and not self.is_shut
        except psycopg2.Error:
            return False
        finally:
            self.limit = limit
            if not self.closed:
                self.autocommit = False

    @contextlib.contextmanager
    def limited(self) -> Iterator[None]:
        """End the block's round trip at the limit. An error of a lost connection closes it, which pools notice."""
        try:
            with _WATCH.within(self, self.limit):
                yield
        except psycopg2.Error as error:
            if is_lost(error):
                self.close()
            raise
