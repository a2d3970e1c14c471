"""A wait of which one line is said where it takes long, so that nobody wonders whether anything happens."""

import time
from datetime import timedelta

from cli.terminal.lines import say


class LongWait:
    """Begins when it is made."""

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
