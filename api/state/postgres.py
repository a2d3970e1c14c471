"""Queries of Postgres: made in a thread, limited in time; a Postgres that is away is StorageUnavailable."""

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
from shared.storage.refusals import describe

T = TypeVar("T")

BRIEFLY: Final = timedelta(seconds=1)
"""Time limit for callers that can do without the answer."""
# Added to a statement's own time limit, so that Postgres itself ends it first.
_MARGIN: Final = timedelta(seconds=1)


async def ask_postgres(
    gate: Gateway,
    ask: Callable[[Connection], T],
    *,
    longest: timedelta | None = None,
    pool: ThreadPoolExecutor | None = None,
) -> T:
    """Return what `ask` returns for a connection, in a thread of `pool` (by default of `threads.asks`).

    Raises StorageUnavailable after `longest` at the latest (by default a statement's time limit and a second), also
    where Postgres hangs; the thread then ends when the connection's own limits end it.
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
    except (DBAPIError, PoolTimeout) as error:
        raise _unavailable(describe(error)) from None


def _unavailable(reason: str = "") -> StorageUnavailable:
    return StorageUnavailable(store="postgres", retry_after=timedelta(seconds=2), reason=reason)
