"""Run by Alembic: applies the migrations on `migrate.upgrade`'s connection, else on the configured database."""

from alembic import context
from sqlalchemy import Connection

from shared.settings import Database, read
from shared.storage.engine import make_engine
from shared.storage.tables import metadata


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


def _run_from_the_command_line() -> None:
    engine = make_engine(read(Database))
    with engine.begin() as connection:
        _run(connection)
    engine.dispose()


given: Connection | None = context.config.attributes.get("connection")
if given is None:
    _run_from_the_command_line()
else:
    _run(given)
