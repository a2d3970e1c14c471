"""Long work a little at a time, so that the event loop serves others in between."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final, TypeVar

from api.batches.archives.items import Item
from api.state.threads import in_thread

T = TypeVar("T")

# A thread takes turns with the event loop for Python's lock; a longer slice would hold the loop up.
SLICE: Final = timedelta(milliseconds=2)
SLICE_BYTES: Final = 1024 * 1024
SHORT: Final = 32 * 1024


async def short_chunks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the bytes of `chunks` in pieces of 32 KB, each of which may still hold a thousand lines or parts.

    Between two pieces of a chunk the event loop does other work.
    """
    async for chunk in chunks:
        for start in range(0, len(chunk), SHORT):
            if start:
                await asyncio.sleep(0)
            yield chunk[start : start + SHORT]


async def in_slices(iterator: Iterator[T], pool: ThreadPoolExecutor) -> AsyncIterator[T]:
    """Yield what a blocking iterator yields; it runs in a thread of the pool, about 2 ms or 1 MB at a time."""
    more = True
    while more:
        found, more = await in_thread(pool, _slice, iterator)
        for one in found:
            yield one


def _slice(iterator: Iterator[T]) -> tuple[list[T], bool]:
    """Return the next items, and whether there may be more."""
    found: list[T] = []
    size, until = 0, time.perf_counter() + SLICE.total_seconds()
    while size < SLICE_BYTES and time.perf_counter() < until:
        try:
            one = next(iterator)
        except StopIteration:
            return found, False
        found.append(one)
        if isinstance(one, Item):
            size += len(one.data)
    return found, True
