"""Brings a database to the newest schema."""

from datetime import timedelta
from importlib import resources

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from shared.settings import Database
from shared.storage.concurrent_indexes import build_indexes
from shared.storage.engine import make_engine

# An advisory lock's number, which nobody else uses in this database: "darkroom" in ASCII.
_LOCK = int.from_bytes(b"darkroom", "big")


def upgrade(database_url: str) -> None:
    """Run the missing migrations in one transaction, then build missing indexes of large tables beside other writers.

    A second process waits for the first and then has nothing to do.
    Raises sqlalchemy.exc.OperationalError where Postgres can't be reached.
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
            command.upgrade(configuration, "head")
        build_indexes(engine)
    finally:
        engine.dispose()
