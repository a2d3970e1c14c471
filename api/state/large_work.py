"""What a large body makes to do leaves the event loop: a few threads take it, and others are answered meanwhile.

A thread alone does not help: orjson, binascii and searches of `bytes` keep Python's lock to their end. So large texts
are decoded a piece at a time; hashing, zlib and the disk give the lock back by themselves.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LARGE: Final = 256 * 1024
"""Bytes of a body from which on its work is done in a thread: 0.2 ms of hashing, twice the way there and back."""
# Each that runs keeps the event loop waiting for Python's lock, for 5 ms at a time.
_THREADS: Final = 2


async def off_the_loop(size: int, work: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
    """Return what `work` on so many bytes returns: at once where they are few, else from a thread.

    It goes on if the caller is canceled.
    """
    if size < LARGE:
        return work(*arguments, **options)
    return await asyncio.wrap_future(_pool().submit(work, *arguments, **options))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="large-body")
