"""The gateway's threads, a pool for each thing that may hang: a Postgres that does holds up no archive, nor a disk."""

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
"""The keyring has its thread itself."""


class Threads:
    """What runs where. `asks` is what people ask Postgres, `results` their long reads of it."""

    def __init__(self, *, asks: int) -> None:
        """`asks` is how many ask Postgres at a time; half as many read results beside them."""
        self.asks = ThreadPoolExecutor(asks, "postgres")
        self.results = ThreadPoolExecutor(results_beside(asks), "results")
        self.probes = ThreadPoolExecutor(PROBES, "probes")
        self.archives = ThreadPoolExecutor(ARCHIVES, "archives")
        self.files = ThreadPoolExecutor(FILES, "files")

    def close(self) -> None:
        """Begin nothing more; what runs, ends by itself."""
        for pool in (self.asks, self.results, self.probes, self.archives, self.files):
            pool.shutdown(wait=False, cancel_futures=True)


def results_beside(asks: int) -> int:
    """Return how many read results beside so many that ask."""
    return max(1, asks // 2)


def connections(asks: int) -> int:
    """Return how many connections to Postgres all of them need: none ever waits for another's."""
    return asks + results_beside(asks) + PROBES + KEYS


async def in_thread(pool: ThreadPoolExecutor, call: Callable[..., T], *arguments: object) -> T:
    """Return what the call returns, from a thread of this pool, with what is bound to log lines.

    Who is canceled waits no more; a call that has not begun is then never made.
    """
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(call, *arguments))
