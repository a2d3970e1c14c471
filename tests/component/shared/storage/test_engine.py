"""Connections to Postgres: forms of URLs, servers that became read-only, were restarted, or hang.

Over 300 lines: all of its tests need the same server, which they stop and reconfigure.
"""

import contextlib
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from shared.settings import Database, SettingsError
from shared.storage import limited_connection
from shared.storage.engine import connection_parameters, make_engine
from shared.storage.limited_connection import LOST, LimitedCursor
from tests.support.servers import PostgresServer
from tests.support.waiting import LIMIT, until

WRITE = text("CREATE TEMPORARY TABLE written (id integer) ON COMMIT DROP")
SOON = timedelta(seconds=0.3)

pytestmark = pytest.mark.slow  # a server of its own, started and stopped again and again


@pytest.fixture(scope="module")
def server(short_directory: Callable[[], Path]) -> Iterator[PostgresServer]:
    """A server that tests may stop or reconfigure; each restores it."""
    server = PostgresServer(short_directory())
    yield server
    server.stop()


@pytest.fixture
def pool(server: PostgresServer) -> Iterator[Engine]:
    engine = make_engine(Database(url=server.url))
    yield engine
    engine.dispose()


def fill(engine: Engine, count: int) -> set[int]:
    """Leave so many connections in the pool; return their servers' process ids."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(engine.connect()) for _ in range(count)]
        return {connection.scalar(text("SELECT pg_backend_pid()")) for connection in connections}


def is_written(engine: Engine) -> bool:
    """Write with a connection of the pool; False where the server refuses the write."""
    try:
        with engine.begin() as connection:
            connection.execute(WRITE)
    except DBAPIError:
        return False
    return True


def demote(server: PostgresServer, *, read_only: bool) -> None:
    """Refuse writes to every connected session, but not to new sessions of the user."""
    with contextlib.closing(psycopg2.connect(server.url)) as operator:
        operator.autocommit = True
        with operator.cursor() as cursor:
            if read_only:
                cursor.execute("ALTER ROLE postgres SET default_transaction_read_only = off")
                cursor.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            else:
                cursor.execute("ALTER SYSTEM RESET default_transaction_read_only")
                cursor.execute("ALTER ROLE postgres RESET default_transaction_read_only")
            cursor.execute("SELECT pg_reload_conf()")


URLS = {
    "postgresql://ann:x%40y@db:6432/darkroom": {
        "user": "ann", "password": "x@y", "host": "db", "port": "6432", "dbname": "darkroom",
    },
    "postgres://db/darkroom": {"host": "db", "dbname": "darkroom"},
    "postgresql+psycopg2://db/darkroom": {"host": "db", "dbname": "darkroom"},
    "postgresql://one:5432,two:5433/darkroom?target_session_attrs=read-write": {
        "host": "one,two", "port": "5432,5433", "dbname": "darkroom", "target_session_attrs": "read-write",
    },
    "postgresql:///darkroom?host=one,two&target_session_attrs=primary": {
        "host": "one,two", "dbname": "darkroom", "target_session_attrs": "primary",
    },
    "postgresql://ann@/darkroom?host=one:5432&host=two:5433": {
        "host": "one,two", "port": "5432,5433", "user": "ann", "dbname": "darkroom",
    },
    "postgresql://ann@/darkroom?host=/run/postgresql&options=-c%20search_path%3Dx%20-c%20work_mem%3D8MB": {
        "host": "/run/postgresql", "user": "ann", "dbname": "darkroom",
        "options": "-c search_path=x -c work_mem=8MB",
    },
    "host=one,two dbname=darkroom connect_timeout=3": {"host": "one,two", "dbname": "darkroom", "connect_timeout": "3"},
}  # fmt: skip


@pytest.mark.parametrize(("url", "parameters"), URLS.items())
def test_every_form_of_libpq_and_of_sqlalchemy_is_accepted(url: str, parameters: dict[str, str]) -> None:
    assert connection_parameters(url) == parameters


@pytest.mark.parametrize(
    "url", ["", "mysql://db/x", "postgresql://db/x?nosuch=1", "postgresql://ann:secret@db/x?nosuch=1"]
)
def test_an_invalid_url_is_reported_without_its_password(url: str) -> None:
    if not url:
        assert connection_parameters(url) == {}  # then libpq's own variables say it
        return
    with pytest.raises(SettingsError) as said:
        connection_parameters(url)
    assert "secret" not in str(said.value)


def test_the_urls_own_options_are_kept_beside_a_statement_timeout(server: PostgresServer) -> None:
    url = f"{server.url}&options=-c%20search_path%3Delsewhere%20-c%20work_mem%3D7MB&application_name=mine"
    engine = make_engine(Database(url=url), statement_timeout=timedelta(seconds=3))
    with engine.connect() as connection:
        said = {
            name: connection.scalar(text(f"SHOW {name}")) for name in ("search_path", "work_mem", "application_name")
        }
        assert said == {"search_path": "elsewhere", "work_mem": "7MB", "application_name": "mine"}
        assert connection.scalar(text("SHOW statement_timeout")) == "3s"
        connection.rollback()
        # Each transaction's own, and none of the session's.
        assert connection.scalar(text("SHOW statement_timeout")) == "3s"
        connection.rollback()
        with contextlib.closing(connection.connection.cursor()) as raw:
            raw.execute("SHOW statement_timeout")
            assert raw.fetchone() == ("0",)
    engine.dispose()


def test_a_slow_statement_of_the_gateway_ends_at_its_timeout(server: PostgresServer) -> None:
    engine = make_engine(Database(url=server.url), statement_timeout=timedelta(milliseconds=200))
    with engine.connect() as connection, pytest.raises(OperationalError, match="statement timeout"):
        connection.execute(text("SELECT pg_sleep(30)"))
    engine.dispose()


def test_pooled_connections_to_a_now_read_only_server_are_dropped(server: PostgresServer, pool: Engine) -> None:
    before = fill(pool, 3)
    demote(server, read_only=True)
    try:
        # A session may read the setting after it was asked, before it writes: it is dropped once the write is refused.
        until(lambda: all(is_written(pool) for _ in range(3)))
        until(lambda: not fill(pool, 3) & before)
    finally:
        demote(server, read_only=False)


def test_a_connection_in_use_is_dropped_at_its_first_refused_write(server: PostgresServer, pool: Engine) -> None:
    with pool.connect() as connection:
        before = connection.scalar(text("SELECT pg_backend_pid()"))
        connection.rollback()
        demote(server, read_only=True)
        try:
            # The setting is read when a session is asked next.
            with pytest.raises(DBAPIError) as refused:
                _write_on(connection)
            assert refused.value.orig.pgcode == "25006"
            assert refused.value.connection_invalidated
        finally:
            demote(server, read_only=False)
    with pool.begin() as connection:
        connection.execute(WRITE)
        assert connection.scalar(text("SELECT pg_backend_pid()")) != before


def _write_on(connection: Connection) -> None:
    while True:
        connection.execute(WRITE)
        connection.rollback()


def test_a_refused_copy_drops_its_connection(pool: Engine) -> None:
    """COPY goes past SQLAlchemy, straight to psycopg2."""
    raw = pool.raw_connection()
    with raw.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS kept (id integer)")
        raw.commit()
        cursor.execute("SET TRANSACTION READ ONLY")
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            cursor.copy_expert("COPY kept FROM STDIN", io.StringIO("1"))
    assert raw.dbapi_connection.closed
    raw.invalidate()


@pytest.mark.parametrize("state", sorted(LOST | {"08000", "08006", "08P01"}))
def test_errors_of_a_lost_connection_close_it(pool: Engine, state: str) -> None:
    with pool.connect() as connection:
        with pytest.raises(DBAPIError) as lost:
            connection.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$"))
        assert lost.value.connection_invalidated
        connection.rollback()
        assert connection.scalar(text("SELECT 1")) == 1


@pytest.mark.parametrize("state", ["22000", "23505", "40P01", "42P01", "53100", "54000", "57014"])
def test_other_errors_keep_the_connection(pool: Engine, state: str) -> None:
    with pool.connect() as connection:
        with pytest.raises(DBAPIError) as error:
            connection.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$"))
        assert not error.value.connection_invalidated


def test_a_restarted_server_causes_no_error(server: PostgresServer, pool: Engine) -> None:
    fill(pool, 3)
    server.stop()
    server.start()
    for _ in range(3):
        with pool.begin() as connection:
            connection.execute(WRITE)


def test_the_one_of_several_hosts_that_accepts_writes_is_found(
    server: PostgresServer, start_postgres: Callable[[], PostgresServer]
) -> None:
    promoted = start_postgres()
    folders = [connection_parameters(one.url)["host"] for one in (server, promoted)]
    base = connection_parameters(server.url)
    url = f"postgresql://{base['user']}@/{base['dbname']}?host={','.join(folders)}&target_session_attrs=read-write"
    engine = make_engine(Database(url=url))
    with contextlib.closing(psycopg2.connect(server.url)) as operator:
        operator.autocommit = True
        with engine.begin() as connection:
            assert folders[0] in connection.scalar(text("SHOW unix_socket_directories"))
        with operator.cursor() as cursor:
            cursor.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            cursor.execute("SELECT pg_reload_conf()")
            try:
                found = folders[0]
                while folders[1] not in found:  # the setting is read when a session is asked next
                    with engine.begin() as connection:
                        found = connection.scalar(text("SHOW unix_socket_directories"))
            finally:
                cursor.execute("ALTER SYSTEM RESET default_transaction_read_only")
                cursor.execute("SELECT pg_reload_conf()")
    engine.dispose()


def _statement(_: Engine, connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


def _commit(_: Engine, connection: Connection) -> None:
    connection.commit()


def _copy(_: Engine, connection: Connection) -> None:
    connection.connection.cursor().copy_expert("COPY written FROM STDIN", _Endless())


def _connect(engine: Engine, _: Connection) -> None:
    engine.connect()


@pytest.mark.parametrize("ask", [_statement, _commit, _copy, _connect])
def test_a_round_trip_to_a_hanging_server_ends(
    server: PostgresServer, ask: Callable[[Engine, Connection], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_connection, "PING_LIMIT", SOON)
    engine = make_engine(Database(url=server.url, timeout=SOON), patience=SOON)
    fill(engine, 2)
    connection = engine.connect()
    connection.execute(WRITE)
    with server.hanging(), pytest.raises((DBAPIError, psycopg2.Error)):
        ask(engine, connection)
    connection.invalidate()
    with engine.begin() as again:
        again.execute(WRITE)
    engine.dispose()


class _Endless:
    """A file without end for a COPY to read."""

    def read(self, size: int) -> bytes:
        return b"1\n" * (size // 2)


def test_a_hanging_ping_is_short(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_connection, "PING_LIMIT", SOON)
    engine = make_engine(Database(url=server.url))
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        with server.hanging():
            assert not raw.takes_writes()
        assert raw.closed
    engine.dispose()


def test_a_ping_answered_as_its_time_ended_costs_a_connection_and_fails_nothing(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(Database(url=server.url))
    execute, shut = LimitedCursor.execute, []

    def answered_late(cursor: LimitedCursor, *arguments: Any) -> None:
        execute(cursor, *arguments)
        if not shut:
            limited_connection._shut(cursor.connection)
            shut.append(cursor.connection)

    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    monkeypatch.setattr(LimitedCursor, "execute", answered_late)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
        assert shut != [connection.connection.dbapi_connection]
    engine.dispose()


def test_a_round_trip_within_its_limit_is_not_disturbed(server: PostgresServer) -> None:
    engine = make_engine(Database(url=server.url), patience=timedelta(seconds=0.7))
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        for _ in range(5):  # longer than the limit together
            connection.execute(text("SELECT pg_sleep(0.2)"))
        assert connection.scalar(text("SELECT pg_backend_pid()")) == pid
    engine.dispose()


def test_a_forked_process_limits_its_round_trips_too(server: PostgresServer) -> None:
    script = f"""
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from sqlalchemy import text
from shared.settings import Database
from shared.storage.engine import make_engine
make = lambda: make_engine(Database(url={server.url!r}), patience=timedelta(seconds=0.3))
with make().connect() as connection:
    connection.execute(text("SELECT 1"))
    if os.fork() == 0:
        with make().connect() as own:
            try:
                own.execute(text("SELECT pg_sleep(600)"))
            except Exception as error:
                os._exit(7 if "closed the connection" in str(error) else 8)
        os._exit(9)
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=LIMIT).returncode == 7
