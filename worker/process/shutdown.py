"""How a worker that was told to stop ends in time, whoever is away.

Celery finds out that it should stop between two attempts to reach its broker, and where Redis is gone one may last half
a minute: the name of a container that is gone is looked up for 4.5 s, several times over. So are all others that ask
Redis once more while they are closed. Who started the process would kill it before.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

log = logging.getLogger(__name__)

PATIENCE: Final = timedelta(seconds=5)
"""Without anything in hand; where Redis answers, Celery ends by itself within it."""
LONGEST_CLOSING: Final = timedelta(seconds=10)
_PAUSE_SECONDS: Final = 0.2


class ShutdownDeadline:
    """Ends the process with status 0 once it was told to, at the latest 15 s after nothing is in hand any more.

    What is not closed by then is left as after a crash: everything that a worker does may stop at any line.
    """

    def __init__(self, *, is_busy: Callable[[], bool], close: Callable[[], None]) -> None:
        """`close` is called where Celery does not come to it in time; it may be called again while it runs."""
        self._is_busy = is_busy
        self._close = close
        self._begun = False

    def begin(self) -> None:
        """Watch over the end from now on, in threads; nothing more the second time. May be called by a signal."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._watch, name="ending", daemon=True).start()

    def _watch(self) -> None:
        free_since = time.monotonic()
        while time.monotonic() - free_since < PATIENCE.total_seconds():
            time.sleep(_PAUSE_SECONDS)
            if self._is_busy():
                free_since = time.monotonic()
        log.warning("stopping_late", extra={"closing_at_most_seconds": LONGEST_CLOSING.total_seconds()})
        end_after(LONGEST_CLOSING)
        try:
            self._close()
        finally:
            end_now()


def end_after(longest: timedelta) -> None:
    """End the process after so long, where it has not ended by itself."""
    timer = threading.Timer(longest.total_seconds(), end_now)
    timer.daemon = True
    timer.start()


def end_now() -> None:
    """End the process with status 0 and wait for no thread; what was logged is written."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)
