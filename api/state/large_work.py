"""Work on large bodies runs in a few threads, so that the event loop answers others meanwhile.

A thread alone does not help: orjson, binascii and searches of `bytes` keep Python's lock until they end. So large
texts are decoded in pieces; hashing, zlib and the disk release the lock by themselves.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LARGE: Final = 256 * 1024
"""Size of a body from which on a thread does the work: 0.2 ms of hashing, twice what handing it over costs."""
# Each running thread makes the event loop wait for Python's lock, 5 ms at a time.
_THREADS: Final = 2


async def off_the_loop(size: int, work: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
    """Return what `work` returns: called directly for a small `size` in bytes, in a thread for a large one.

    The thread goes on if the caller is canceled.
    """
    if size < LARGE:
        return work(*arguments, **options)
    return await asyncio.wrap_future(_pool().submit(work, *arguments, **options))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="large-body")
