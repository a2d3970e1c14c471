"""The table definitions equal the database that the migrations make."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, make_url, text

from shared.domain.identifiers import BatchId, new_uuid7
from shared.domain.prediction import Source, Status
from shared.settings import Database
from shared.storage import batches, recording, version_figures
from shared.storage.engine import make_engine
from shared.storage.migrate import UnknownSchema, upgrade
from shared.storage.tables import metadata


def test_the_migrations_make_the_defined_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_database_accepts_only_the_domains_statuses(engine: Engine) -> None:
    query = text("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND conname = :name")
    terminal = {status for status in Status if status.is_terminal}
    for name, words in (("predictions_status", terminal), ("predictions_source", set(Source))):
        with engine.connect() as connection:
            definition = connection.execute(query, {"name": name}).one()[1]
        assert set(definition.split("'")[1::2]) == {str(word) for word in words}


def test_two_processes_may_migrate_at_once_and_repeatedly(fresh_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [fresh_url] * 4))
    upgrade(fresh_url)
    with connected(fresh_url) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_database_that_a_newer_release_has_migrated_is_refused_and_left_alone(fresh_url: str) -> None:
    upgrade(fresh_url)
    with connected(fresh_url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9000'"))
        connection.commit()
    with pytest.raises(UnknownSchema, match=r"it has schema 9000, and the newest that this release knows is \d{4}: "):
        upgrade(fresh_url)
    with connected(fresh_url) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["9000"]


def test_older_batches_have_no_skipped_files_and_the_migration_can_be_undone(fresh_url: str) -> None:
    id = BatchId(new_uuid7())
    with connected(fresh_url) as connection, steps(connection) as configuration:
        command.upgrade(configuration, "0005")
        connection.execute(
            text("INSERT INTO batches (id, owner, model, total, skipped) VALUES (:id, 'default', 'digits', 1, 3)"),
            {"id": id},
        )
        for _ in range(2):
            command.upgrade(configuration, "head")
            row = batches.find_batch(connection, id, None)
            assert row is not None
            assert (row.skipped, row.batch().skipped_files) == (3, [])
            command.downgrade(configuration, "0005")


def test_older_predictions_are_counted_for_reports_and_the_migration_can_be_undone(
    fresh_url: str, finished_record: Callable[..., dict[bytes, bytes]]
) -> None:
    with connected(fresh_url) as connection, steps(connection) as configuration:
        for _ in range(2):
            command.upgrade(configuration, "head")
            connection.commit()
            recording.record(connection, [finished_record() for _ in range(3)])
            command.downgrade(configuration, "0007")
            connection.commit()
            command.upgrade(configuration, "head")
            connection.commit()
            pending = connection.scalar(text("SELECT sum(cardinality(ids)) FROM report_pending"))
            assert pending == connection.scalar(text("SELECT count(*) FROM predictions"))
            connection.commit()
            assert version_figures.count_pending(connection, rows=100) == pending


def test_older_batches_get_their_failures_by_code(
    fresh_url: str, finished_record: Callable[..., dict[bytes, bytes]]
) -> None:
    batch, other = (BatchId(id) for id in sorted([new_uuid7(), new_uuid7()]))
    codes = {batch: ["model_error", "worker_lost", "model_error"], other: []}
    with connected(fresh_url) as connection, steps(connection) as configuration:
        command.upgrade(configuration, "head")
        connection.commit()
        for one, failures in codes.items():
            records = [finished_record(batch=one, state="failed", code=code, output={}) for code in failures]
            recording.record(connection, [*records, finished_record(batch=one)])
        counted = text("SELECT errors FROM batches ORDER BY id")
        expected = [{"model_error": 2, "worker_lost": 1}, {}]
        assert list(connection.execute(counted).scalars()) == expected
        connection.commit()
        command.downgrade(configuration, "0009")
        connection.commit()
        command.upgrade(configuration, "head")
        connection.commit()
        assert list(connection.execute(counted).scalars()) == expected


@pytest.fixture
def fresh_url(database_url: str) -> str:
    """The URL of a database without any table."""
    with connected(database_url) as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("DROP DATABASE IF EXISTS fresh"))
        connection.execute(text("CREATE DATABASE fresh"))
    return make_url(database_url).set(database="fresh").render_as_string(hide_password=False)


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = make_engine(Database(url=url))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def steps(connection: Connection) -> Iterator[Config]:
    """Give what alembic's commands take to run the migrations on this connection."""
    with resources.as_file(resources.files("shared.storage")) as folder:
        configuration = Config(folder / "alembic.ini")
        configuration.attributes["connection"] = connection
        yield configuration
