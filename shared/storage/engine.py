"""Makes SQLAlchemy engines from settings, and is the one place that decides when a pooled connection is dropped.

No state is kept in a session, which behind PgBouncer in transaction mode would reach another client: no startup options
of our own; a statement's timeout is set for its transaction alone.
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

# Added to a statement's timeout, so that a server that still answers cancels the statement itself first.
_MARGIN: Final = timedelta(seconds=1)
_USED: Final = "used"


def make_engine(
    settings: Database,
    *,
    statement_timeout: timedelta | None = None,
    patience: timedelta | None = None,
    connections: int | None = None,
) -> Engine:
    """Return an engine with a pool of `connections`, or of the settings' `pool_size`; it connects at its first use.

    The gateway passes a `statement_timeout`, since somebody waits for the answer. A recorder passes none: a commit
    cancelled for being slow would be just as slow when it is repeated. `patience` is how long a server may be silent in
    a round trip; the default is the settings', or the statement timeout plus one second where there is one.
    """
    limit = patience or settings.patience if statement_timeout is None else statement_timeout + _MARGIN
    seconds = max(1, round(settings.timeout.total_seconds()))
    parameters = connection_parameters(settings.url)
    defaults: dict[str, Any] = {
        "connect_timeout": seconds,
        "client_encoding": "utf8",
        "application_name": "darkroom",
        # A server that vanished from the network fails as soon as one that refuses (TCP only).
        "tcp_user_timeout": seconds * 1000,
    }
    factory = partial(LimitedConnection, limit=limit)
    engine = create_engine(
        "postgresql+psycopg2://",
        # libpq gets the URL's parameters unchanged: several hosts, target_session_attrs, options.
        creator=lambda: psycopg2.connect(connection_factory=factory, **(defaults | parameters)),
        pool_size=connections or settings.pool_size,
        max_overflow=0,
        pool_timeout=seconds,
        # Errors are logged and would quote them: clients' metadata and webhooks, signing secrets.
        hide_parameters=True,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )
    event.listen(engine, "checkout", _check_before_reuse)
    event.listen(engine, "checkin", _mark_as_used)
    if statement_timeout is not None:
        statement = f"SET LOCAL statement_timeout = {statement_timeout // timedelta(milliseconds=1)}"
        event.listen(engine, "begin", partial(_set_timeout, statement=statement))
    return engine


def connection_parameters(url: str) -> dict[str, Any]:
    """Return libpq's parameters for a URL or a `host=… dbname=…` string; raises SettingsError.

    Accepts every form that libpq does, and SQLAlchemy's for several hosts, `?host=one:5432&host=two:5432`.
    """
    try:
        if len(parse_qs(urlsplit(url).query).get("host", [])) > 1:
            return dict(PGDialect_psycopg2().create_connect_args(make_url(url))[1])  # type: ignore[no-untyped-call]
        return dict(parse_dsn(url.replace("postgresql+psycopg2://", "postgresql://", 1)))
    except (psycopg2.ProgrammingError, ArgumentError, ValueError):
        # Without libpq's message, which quotes the URL and with it the password.
        raise SettingsError(
            "DARKROOM_DATABASE_URL can't be read: postgresql://user:password@host:5432/darkroom is one"
        ) from None


def _check_before_reuse(connection: LimitedConnection, record: Any, _: Any) -> None:
    """Drop the whole pool when a connection is about to be reused whose server is gone or accepts no writes.

    Costs one round trip of 0.08 ms, under 1% of a commit, before entries are leased for it. A new connection is not
    checked: where the only server is read-only, it can still be read.
    """
    if record.info.pop(_USED, False) and not connection.takes_writes():
        raise InvalidatePoolError


def _mark_as_used(_: Any, record: Any) -> None:
    record.info[_USED] = True


def _set_timeout(connection: Connection, *, statement: str) -> None:
    connection.exec_driver_sql(statement)
