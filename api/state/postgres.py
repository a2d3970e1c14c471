"""How the gateway asks Postgres: from a thread, and a Postgres that is away is an error with words."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.state.gateway import Gateway
from api.state.threads import in_thread
from shared.domain.errors import StorageUnavailable

T = TypeVar("T")

BRIEFLY: Final = timedelta(seconds=1)
"""For who can answer without it."""
# Of a statement's time: Postgres says first that it took too long.
_MARGIN: Final = timedelta(seconds=1)


async def ask_postgres(
    gate: Gateway,
    ask: Callable[[Connection], T],
    *,
    longest: timedelta | None = None,
    pool: ThreadPoolExecutor | None = None,
) -> T:
    """Return what is found with a connection, in a thread of `pool`, else of those for asks; raises StorageUnavailable.

    That comes after `longest` at the latest, else after what a statement may take, however Postgres hangs. The thread
    then ends by itself, when the connection's own limits say so.
    """

    def with_a_connection() -> T:
        with gate.engine.connect() as connection:
            return ask(connection)

    longest = longest or gate.database.timeout + _MARGIN
    try:
        async with asyncio.timeout(longest.total_seconds()):
            return await in_thread(pool or gate.threads.asks, with_a_connection)
    except TimeoutError:
        raise _unavailable("gives no answer") from None
    except (DBAPIError, PoolTimeout):
        raise _unavailable() from None


def _unavailable(reason: str = "") -> StorageUnavailable:
    return StorageUnavailable(store="postgres", retry_after=timedelta(seconds=2), reason=reason)
