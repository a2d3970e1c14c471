"""The table definitions are the migrated database."""

from concurrent.futures import ThreadPoolExecutor

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, make_url, text

from shared.domain.prediction import Source, Status
from shared.settings import Database
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade
from shared.storage.tables import metadata


def test_the_migrations_make_what_the_tables_say(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_database_holds_the_domains_words_and_no_other(engine: Engine) -> None:
    query = text("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND conname = :name")
    terminal = {status for status in Status if status.is_terminal}
    for name, words in (("predictions_status", terminal), ("predictions_source", set(Source))):
        with engine.connect() as connection:
            definition = connection.execute(query, {"name": name}).one()[1]
        assert set(definition.split("'")[1::2]) == {str(word) for word in words}


def test_two_processes_may_migrate_at_once_and_again(database_url: str) -> None:
    engine = make_engine(Database(url=database_url))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE IF EXISTS fresh"))
        connection.execute(text("CREATE DATABASE fresh"))
    engine.dispose()
    url = make_url(database_url).set(database="fresh").render_as_string(hide_password=False)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [url] * 4))
    upgrade(url)
    engine = make_engine(Database(url=url))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
