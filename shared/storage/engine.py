"""Postgres connections, made from settings. ONE place that says when one of them is of no use any more.

Nothing here is state of a session, which behind PgBouncer in transaction mode would be another client's next moment:
no startup options of our own, a statement's time is set for its transaction alone.
"""

from datetime import timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson
import psycopg2
from psycopg2.extensions import parse_dsn
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.exc import ArgumentError, InvalidatePoolError

from shared.settings import Database, SettingsError
from shared.storage.limited_connection import LimitedConnection

# Of the time that a statement has: a server that can still speak says first that it took too long.
_MARGIN: Final = timedelta(seconds=1)
_USED: Final = "used"


def make_engine(
    settings: Database,
    *,
    statement_timeout: timedelta | None = None,
    patience: timedelta | None = None,
    connections: int | None = None,
) -> Engine:
    """Return an engine with a pool of its own, of `pool_size` or so many connections; nothing connects before its use.

    The gateway gives a `statement_timeout`, since somebody waits for the answer; a recorder gives none: a commit
    that is cancelled for being slow would come back just as slow. `patience` is how long a server may say nothing at
    all in a round trip, else the settings'; a statement timeout and a moment where there is one.
    """
    limit = patience or settings.patience if statement_timeout is None else statement_timeout + _MARGIN
    seconds = max(1, round(settings.timeout.total_seconds()))
    parameters = connection_parameters(settings.url)
    defaults: dict[str, Any] = {
        "connect_timeout": seconds,
        "client_encoding": "utf8",
        "application_name": "darkroom",
        # A server that vanished from the network is given up like one that refuses (TCP only).
        "tcp_user_timeout": seconds * 1000,
    }
    factory = partial(LimitedConnection, limit=limit)
    engine = create_engine(
        "postgresql+psycopg2://",
        # libpq gets the URL's parameters as they are: several hosts, target_session_attrs, options.
        creator=lambda: psycopg2.connect(connection_factory=factory, **(defaults | parameters)),
        pool_size=connections or settings.pool_size,
        max_overflow=0,
        pool_timeout=seconds,
        # An error's text would quote them, and it is logged: people's metadata and webhooks, signing secrets.
        hide_parameters=True,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )
    event.listen(engine, "checkout", _look)
    event.listen(engine, "checkin", _note)
    if statement_timeout is not None:
        statement = f"SET LOCAL statement_timeout = {statement_timeout // timedelta(milliseconds=1)}"
        event.listen(engine, "begin", partial(_begin, statement=statement))
    return engine


def connection_parameters(url: str) -> dict[str, Any]:
    """Return what libpq is given for a URL, or for a `host=… dbname=…` string; raises SettingsError.

    Every form that libpq knows is one of them, and SQLAlchemy's for several hosts, `?host=one:5432&host=two:5432`.
    """
    try:
        if len(parse_qs(urlsplit(url).query).get("host", [])) > 1:
            return dict(PGDialect_psycopg2().create_connect_args(make_url(url))[1])  # type: ignore[no-untyped-call]
        return dict(parse_dsn(url.replace("postgresql+psycopg2://", "postgresql://", 1)))
    except (psycopg2.ProgrammingError, ArgumentError, ValueError):
        # Without libpq's words, which quote the URL: a password stands in it.
        raise SettingsError(
            "DARKROOM_DATABASE_URL can't be read: postgresql://user:password@host:5432/darkroom is one"
        ) from None


def _look(connection: LimitedConnection, record: Any, _: Any) -> None:
    """Before a connection is used again: a server that is gone, or takes no writes, is left with all its connections.

    One round trip of 0.08 ms, under 1% of a commit, before entries are leased for it. A new connection is not asked:
    where the only server is read-only, it can still be read.
    """
    if record.info.pop(_USED, False) and not connection.takes_writes():
        raise InvalidatePoolError


def _note(_: Any, record: Any) -> None:
    record.info[_USED] = True


def _begin(connection: Connection, *, statement: str) -> None:
    connection.exec_driver_sql(statement)
