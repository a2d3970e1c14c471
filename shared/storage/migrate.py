"""Brings a database to the newest schema."""

from datetime import timedelta
from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from shared.settings import Database
from shared.storage.concurrent_indexes import build_indexes
from shared.storage.engine import make_engine

# An advisory lock's number, which nobody else uses in this database: "darkroom" in ASCII.
_LOCK = int.from_bytes(b"darkroom", "big")


class UnknownSchema(Exception):
    """The database has a schema that this release does not know: a newer one has made it."""


def upgrade(database_url: str) -> None:
    """Run the missing migrations in one transaction, then build missing indexes of large tables beside other writers.

    A second process waits for the first and then has nothing to do.
    Raises sqlalchemy.exc.OperationalError where Postgres can't be reached, UnknownSchema, and changes nothing, where a
    newer release has migrated it.
    """
    # Without a limit: an index on a large table may take hours.
    engine = make_engine(Database(url=database_url), patience=timedelta.max)
    try:
        with (
            resources.as_file(resources.files("shared.storage")) as folder,
            engine.begin() as connection,
        ):
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            configuration = Config(folder / "alembic.ini")
            configuration.attributes["connection"] = connection
            _check_known(connection, configuration)
            command.upgrade(configuration, "head")
        build_indexes(engine)
    finally:
        engine.dispose()


def _check_known(connection: Connection, configuration: Config) -> None:
    scripts = ScriptDirectory.from_config(configuration)
    known = {script.revision for script in scripts.walk_revisions()}
    for revision in MigrationContext.configure(connection).get_current_heads():
        if revision not in known:
            raise UnknownSchema(
                f"it has schema {revision}, and the newest that this release knows is {scripts.get_current_head()}: "
                "a newer Darkroom has migrated it. Run that, or restore a backup from before"
            )
