"""A thread that commits small writes and measures how long each commit takes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any, Final

from benchmarks.stack.darkroom import Stack

PAUSE: Final = timedelta(milliseconds=20)


@contextmanager
def committing(stack: Stack, write: Callable[[Any, int], None]) -> Iterator[list[float]]:
    """Call `write` with a cursor and a new number repeatedly during the block, each call a commit.

    Yields the milliseconds of each, complete after the block; what `write` raised is raised there.
    """
    over, times, broken = threading.Event(), list[float](), list[Exception]()

    def work() -> None:
        try:
            with stack.connected() as cursor:
                for number in count(1):
                    began = time.monotonic()
                    write(cursor, number)
                    times.append((time.monotonic() - began) * 1000)
                    if over.wait(PAUSE.total_seconds()):
                        return
        except Exception as error:  # noqa: BLE001  raised again in the caller's thread
            broken.append(error)

    thread = threading.Thread(target=work, name="committer")
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()
    if broken:
        raise broken[0]
