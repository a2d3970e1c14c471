"""Run the migrations that a database lacks."""

from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from cli.addresses import store_url
from cli.terminal.lines import first_line, say
from cli.terminal.refused import Refused
from shared.storage.migrate import UnknownSchema, upgrade


def migrate(home: Path) -> None:
    """Bring the database that is set, or that runs on this home, to the newest schema. Safe to repeat."""
    try:
        upgrade(store_url(home, "DARKROOM_DATABASE_URL"))
    except (SQLAlchemyError, UnknownSchema) as error:
        raise Refused(f"The database can't be brought up to date: {first_line(error)}") from None
    say("The database has the newest schema.")
