"""The gateway's threads: a pool for each thing that may hang, so that a hanging Postgres delays no disk or archive."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

ARCHIVES: Final = 4
FILES: Final = 4
PROBES: Final = 1
KEYS: Final = 1
"""`ApiKeys` has a thread of its own."""


class Threads:
    """The pools: `asks` for queries of Postgres, `results` for long reads of it, probes, archives, files."""

    def __init__(self, *, asks: int) -> None:
        """`asks` is the number of queries at a time; half as many threads read results beside them."""
        self.asks = ThreadPoolExecutor(asks, "postgres")
        self.results = ThreadPoolExecutor(results_beside(asks), "results")
        self.probes = ThreadPoolExecutor(PROBES, "probes")
        self.archives = ThreadPoolExecutor(ARCHIVES, "archives")
        self.files = ThreadPoolExecutor(FILES, "files")

    def close(self) -> None:
        """Start nothing more; running calls end by themselves."""
        for pool in (self.asks, self.results, self.probes, self.archives, self.files):
            pool.shutdown(wait=False, cancel_futures=True)


def results_beside(asks: int) -> int:
    """Return the number of threads that read results beside `asks` threads for queries."""
    return max(1, asks // 2)


def connections(asks: int) -> int:
    """Return how many connections to Postgres all threads need, so that none waits for another's."""
    return asks + results_beside(asks) + PROBES + KEYS


async def in_thread(pool: ThreadPoolExecutor, call: Callable[..., T], *arguments: object) -> T:
    """Return what `call` returns, made in a thread of this pool with the facts bound to log lines.

    A canceled caller stops waiting; a call that has not begun is then never made.
    """
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(call, *arguments))
