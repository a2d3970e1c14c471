"""Pages and downloads read from Postgres in pieces, so that long reads do not hold up submissions.

A row costs the gateway some 50 µs of Python, and a working thread makes the event loop wait for Python's lock. So a
page of a thousand rows is read in ten pieces, with other requests in between, and owners take turns.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection

from api.state.gateway import Gateway
from api.state.postgres import ask_postgres
from shared.domain.errors import StorageUnavailable
from shared.domain.identifiers import Owner

T = TypeVar("T")


class Row(Protocol):
    """A row with an id to go on from."""

    @property
    def id(self) -> str:
        """The next piece begins after this id."""


R = TypeVar("R", bound=Row)
Ask = Callable[..., list[R]]
"""A query, called with a connection and the keywords `before` and `limit`."""

PIECE: Final = 100
"""Rows read at a time: about 5 ms."""
FIRST_PIECE: Final = 25
"""Rows read at first, where their size is not known yet: an output may have a megabyte."""
PIECE_BYTES: Final = 8 * 1024 * 1024
"""Bytes that a piece should have at most, by the rows before it."""
LONGEST_WAIT: Final = timedelta(seconds=10)
"""Time limit for a piece, the wait for its turn included."""


def rows_of_piece(*, rows: int, size: int) -> int:
    """Return how many rows to read next, after so many with outputs of `size` bytes in all."""
    if not rows:
        return FIRST_PIECE
    return max(1, min(PIECE, PIECE_BYTES * rows // max(1, size)))


async def read_piece(
    gate: Gateway,
    owner: Owner,
    ask: Callable[[Connection], T],
    *,
    longest: timedelta | None = None,
    pool: ThreadPoolExecutor | None = None,
) -> T:
    """Return one piece of at most PIECE rows, read and formatted in a thread, in the owner's turn.

    Raises StorageUnavailable after `longest` at the latest, the wait for the turn included.
    """
    patience = longest or LONGEST_WAIT
    try:
        async with asyncio.timeout(patience.total_seconds()), gate.reading_turns.of(owner):
            return await ask_postgres(gate, ask, longest=longest, pool=pool)
    except TimeoutError:
        raise StorageUnavailable(store="postgres", retry_after=timedelta(seconds=2), reason="gives no answer") from None


async def read_rows(
    gate: Gateway,
    owner: Owner,
    ask: Ask[R],
    *,
    before: str | None,
    limit: int,
    longest: timedelta | None = None,
) -> list[R]:
    """Return up to `limit` rows before the id `before`, newest first; raises StorageUnavailable."""
    found: list[R] = []
    while len(found) < limit:
        wanted = min(PIECE, limit - len(found))
        rows = await read_piece(gate, owner, partial(ask, before=before, limit=wanted), longest=longest)
        found += rows
        if len(rows) < wanted:
            break
        before = rows[-1].id
    return found
