"""Bring a database to the newest schema."""

from datetime import timedelta
from importlib import resources

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from shared.settings import Database
from shared.storage.engine import make_engine

# Any number will do that nobody else locks in this database: "darkroom" in ASCII.
_LOCK = int.from_bytes(b"darkroom", "big")


def upgrade(database_url: str) -> None:
    """Run the migrations that are missing, in one transaction; a second process waits and then has none to run.

    Raises sqlalchemy.exc.OperationalError where Postgres can't be reached.
    """
    # Nothing is too long for it: an index on a large table takes its time.
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
    finally:
        engine.dispose()
