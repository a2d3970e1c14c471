"""Waits of which a line is said where they take long, so that nobody wonders whether anything happens."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from cli.terminal.lines import say

EVERY: Final = timedelta(seconds=30)
"""After so long `telling_that_it_goes_on` says a line, again and again."""


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
def telling_that_it_goes_on(what: str) -> Iterator[None]:
    """Say again and again that the block still runs, where it waits in others' code and can't say so itself."""
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
