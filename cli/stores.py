"""`migrate` and `audit`: what is done on the stores themselves."""

from pathlib import Path

from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from cli.audit.invariants import audit as find_broken
from cli.find_stack import first_line, say, store_url
from cli.stack.lifecycle import Refused
from shared.storage.migrate import upgrade


def migrate(home: Path) -> None:
    """Run the migrations that are missing."""
    try:
        upgrade(store_url(home, "DARKROOM_DATABASE_URL"))
    except SQLAlchemyError as error:
        raise Refused(f"The database can't be brought up to date: {first_line(error)}") from None
    say("The database has the newest schema.")


def audit(home: Path) -> int:
    """Check the invariants and say what is broken; return the exit code."""
    redis_url, database_url = store_url(home, "DARKROOM_REDIS_URL"), store_url(home, "DARKROOM_DATABASE_URL")
    try:
        broken = find_broken(redis_url=redis_url, database_url=database_url)
    except (RedisError, SQLAlchemyError, OSError) as error:
        raise Refused(f"Can't look: {first_line(error)}") from None
    say("\n".join(broken) if broken else "All is well: every job has its place, every result its row.")
    return 1 if broken else 0
