"""Something done every so often in a thread of its own."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from worker.process.background_threads import vital_thread

log = logging.getLogger(__name__)


class PeriodicThread:
    """Calls `work` every `pause` until stopped; an error is logged and the next tick tries again."""

    def __init__(self, work: Callable[[], object], *, pause: timedelta, name: str) -> None:
        self._work = work
        self._pause = pause.total_seconds()
        self._stopped = threading.Event()
        self._thread = vital_thread(self._run, name=name)

    def start(self) -> None:
        """Begin, with a pause."""
        self._thread.start()

    @property
    def is_stopped(self) -> bool:
        """Whether this tick is the last; a long one may ask."""
        return self._stopped.is_set()

    def stop(self, *, patience: timedelta = timedelta(seconds=5)) -> None:
        """End after the tick in hand; one that takes longer than `patience` is not waited for."""
        self._stopped.set()
        self._thread.join(timeout=patience.total_seconds())

    def _run(self) -> None:
        while not self._stopped.wait(self._pause):
            try:
                self._work()
            except (Exception, SystemExit) as error:  # noqa: BLE001  even a model that exits must not stop the ticks
                log.warning("tick_failed", extra={"tick": self._thread.name, "error": repr(error)})
