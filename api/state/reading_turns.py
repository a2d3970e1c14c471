"""Turns for long reads: two pieces of pages and downloads are read at a time, one of each owner."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from shared.domain.identifiers import Owner

AT_ONCE: Final = 2


class ReadingTurns:
    """Grants turns."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(AT_ONCE)
        self._by_owner: WeakValueDictionary[Owner, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, owner: Owner) -> AsyncIterator[None]:
        """Wait for a turn of this owner's; it ends with the context."""
        turn = self._by_owner.get(owner)
        if turn is None:
            turn = self._by_owner[owner] = asyncio.Lock()
        async with turn, self._all:
            yield
