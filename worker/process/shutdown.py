"""Stopping a worker in time, even while Redis or Postgres is away.

Celery notices that it should stop between two attempts to reach its broker, and an attempt may last half a minute
when Redis is gone: the name of a container that is gone is looked up for 4.5 s, several times over. Everything else
that calls Redis while it is closed waits as long. Whoever started the process would kill it before that.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from celery.worker import state

from worker.process.ending import end_now

log = logging.getLogger(__name__)

PATIENCE: Final = timedelta(seconds=5)
"""How long Celery may take once nothing is in hand; where Redis answers, it ends by itself sooner."""
LONGEST_CLOSING: Final = timedelta(seconds=10)
_PAUSE_SECONDS: Final = 0.2


def told_to_stop() -> bool:
    """Whether this worker was told to stop. Celery's signal handlers only set flags, which code that waits must check.

    A flag is None or False until then, and the exit status afterwards, which is 0 after SIGTERM.
    """
    flags = (state.should_stop, state.should_terminate)
    return any(flag is not None and flag is not False for flag in flags)


class ShutdownDeadline:
    """Ends the process with status 0 at the latest 15 s after it was told to stop and has nothing in hand any more.

    What is not closed by then is left as after a crash, which is safe: everything a worker does may stop at any line.
    """

    def __init__(self, *, is_busy: Callable[[], bool], close: Callable[[], None]) -> None:
        """`close` is called if Celery has not called it in time; Celery may still call it while it runs."""
        self._is_busy = is_busy
        self._close = close
        self._begun = False

    def begin(self) -> None:
        """Start the deadline, in a thread; a second call does nothing. May be called by a signal handler."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._watch, name="shutdown", daemon=True).start()

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
    """End the process after `longest` if it has not ended by itself."""
    timer = threading.Timer(longest.total_seconds(), end_now)
    timer.daemon = True
    timer.start()
