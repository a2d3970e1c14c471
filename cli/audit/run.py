"""Audit the stores that are set, or that run on a home, and say what is broken."""

from pathlib import Path

from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from cli.addresses import store_url
from cli.audit import invariants
from cli.terminal.lines import first_line, say
from cli.terminal.refused import Refused


def audit(home: Path) -> int:
    """Check the invariants and say what is broken; return the exit code, 1 where something is."""
    redis_url, database_url = store_url(home, "DARKROOM_REDIS_URL"), store_url(home, "DARKROOM_DATABASE_URL")
    try:
        broken = invariants.audit(redis_url=redis_url, database_url=database_url)
    except (RedisError, SQLAlchemyError, OSError) as error:
        raise Refused(f"Redis or the database can't be read: {first_line(error)}") from None
    say("\n".join(broken) if broken else "All is well: no job is lost, doubled or stuck, and every result has its row.")
    return 1 if broken else 0
