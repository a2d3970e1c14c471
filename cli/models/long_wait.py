"""Waits that print a line where they take long."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from cli.terminal.lines import say

EVERY: Final = timedelta(seconds=30)
"""How often `reporting_progress` prints a line."""


class LongWait:
    """Begins when it is made; says one line."""

    def __init__(self, *, late: timedelta) -> None:
        """`late`: after so long a line is said."""
        self._began = time.monotonic()
        self._late = late
        self._is_told = False

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self._began

    def tell(self, line: str) -> None:
        """Say what is waited for, once it has lasted long, and never again."""
        if not self._is_told and self.seconds > self._late.total_seconds():
            self._is_told = True
            say(line)


@contextmanager
def reporting_progress(what: str) -> Iterator[None]:
    """Print a line every EVERY while the block runs: for code of libraries that prints none."""
    began, is_over = time.monotonic(), threading.Event()

    def tell() -> None:
        while not is_over.wait(EVERY.total_seconds()):
            say(f"{what}, for {time.monotonic() - began:.0f} s now …")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_over.set()
        teller.join()
