"""The tests of Postgres once more, unchanged, behind a PgBouncer in transaction mode.

Two server connections serve all clients, so any state that a session kept would reach another client.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from shared.settings import Database
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade
from shared.storage.recording import record
from tests.support.pgbouncer import PgBouncer, bouncer, database_url, needs_pgbouncer, once_more
from tests.support.servers import PostgresServer

pytestmark = needs_pgbouncer
__all__ = ["bouncer", "database_url"]  # fixtures, used by name

AGAIN = (
    "tests.component.api.state.test_api_keys",
    "tests.component.shared.storage.test_predictions",
    "tests.component.shared.storage.test_recording",
    "tests.component.shared.storage.test_retention",
    "tests.component.shared.storage.test_webhook_secrets",
    "tests.integration.test_audit",
)


globals().update(once_more(*AGAIN))


def test_an_empty_database_gets_the_schema(
    start_postgres: Callable[[], PostgresServer], short_directory: Callable[[], Path]
) -> None:
    bouncer = PgBouncer(short_directory(), to=start_postgres().url)
    upgrade(bouncer.url)
    upgrade(bouncer.url)
    engine = make_engine(Database(url=bouncer.url))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM predictions")) == 0
    engine.dispose()
    bouncer.stop()


def test_a_statement_timeout_reaches_no_other_client_of_the_pool(database_url: str) -> None:
    gateway = make_engine(Database(url=database_url), statement_timeout=timedelta(milliseconds=300))
    recorder = make_engine(Database(url=database_url))
    for _ in range(6):
        with gateway.connect() as connection:
            assert connection.scalar(text("SHOW statement_timeout")) == "300ms"
        with recorder.connect() as connection:
            assert connection.scalar(text("SHOW statement_timeout")) == "0"
    with gateway.connect() as connection, pytest.raises(OperationalError, match="statement timeout"):
        connection.execute(text("SELECT pg_sleep(30)"))
    gateway.dispose()
    recorder.dispose()


def test_recorders_that_share_connections_record_each_row_once(
    database_url: str, engine: Engine, finished_record: Callable[..., dict[bytes, bytes]]
) -> None:
    """There are more recorders than connections: each finds the temporary table of another one, empty."""
    every = [[finished_record() for _ in range(20)] for _ in range(24)]

    def commit(records: list[dict[bytes, bytes]]) -> int:
        own = make_engine(Database(url=database_url))
        with own.connect() as connection:
            inserted = record(connection, records).inserted + record(connection, records).inserted
        own.dispose()
        return inserted

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(commit, every)) == [20] * 24
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM predictions")) == 480
