"""Threads a worker runs beside Celery's: a vital thread ends the process if it fails, a periodic one tries again."""

import logging
import os
import threading
from collections.abc import Callable
from datetime import timedelta

from worker.process.exit_statuses import THREAD_DIED_EXIT

log = logging.getLogger(__name__)


def vital_thread(work: Callable[[], object], *, name: str) -> threading.Thread:
    """Return a thread, not started, that runs `work`; an error is logged and ends the process at once.

    Otherwise the worker would go on consuming and look healthy while leases run out or nothing is delivered. Whatever
    it has in hand is taken over as after a crash.
    """

    def run() -> None:
        try:
            work()
        except BaseException as error:  # a thread's SystemExit would be silent
            log.critical("thread_died", extra={"of": name, "error": repr(error)[:500]}, exc_info=error)
            os._exit(THREAD_DIED_EXIT)

    return threading.Thread(target=run, name=name, daemon=True)


class PeriodicThread:
    """Calls `work`, then waits for `pause`, until stopped; an error is logged and the next call comes as usual."""

    def __init__(self, work: Callable[[], object], *, pause: timedelta, name: str) -> None:
        self._work = work
        self._pause = pause.total_seconds()
        self._stopped = threading.Event()
        self._thread = vital_thread(self._run, name=name)

    def start(self) -> None:
        """Start the thread; the first call comes after a pause."""
        self._thread.start()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called; `work` that takes long may check it."""
        return self._stopped.is_set()

    def stop(self, *, patience: timedelta = timedelta(seconds=5)) -> None:
        """Stop after the call under way; wait for that no longer than `patience`."""
        self._stopped.set()
        self._thread.join(timeout=patience.total_seconds())

    def _run(self) -> None:
        while not self._stopped.wait(self._pause):
            try:
                self._work()
            except (Exception, SystemExit) as error:  # noqa: BLE001  even a model that exits must not stop the thread
                log.warning("tick_failed", extra={"tick": self._thread.name, "error": repr(error)})
