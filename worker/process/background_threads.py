"""Threads that a worker can't do without: where one ends by an error, its process ends too."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

THREAD_DIED: Final = 71
"""Exit status of a worker one of whose threads ended by an error; who runs it starts it again."""


def vital_thread(work: Callable[[], object], *, name: str) -> threading.Thread:
    """Return a thread, not started, that does `work`; what `work` raises is logged and ends the process at once.

    Without it a worker would go on consuming, and look well, while leases run out or nothing is delivered. Whatever it
    had in hand is taken over as after a crash.
    """

    def run() -> None:
        try:
            work()
        except BaseException as error:  # a thread's SystemExit would be silent
            log.critical("thread_died", extra={"of": name, "error": repr(error)[:500]}, exc_info=error)
            os._exit(THREAD_DIED)

    return threading.Thread(target=run, name=name, daemon=True)
