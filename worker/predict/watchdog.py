"""Ends the process when a micro-batch is stuck: its leases run out, and another worker takes its entries over."""

import logging
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from worker.predict.leases import LeasedEntries
from worker.process.exit_statuses import STUCK_EXIT

log = logging.getLogger(__name__)


PATIENCE: Final = timedelta(seconds=5)


class Watchdog:
    """Allows each micro-batch `longest`, or less where its model's tags say so.

    A forward pass that hangs in C ends with its process alone.
    """

    def __init__(
        self, leased: LeasedEntries, *, longest: timedelta, before_end: Callable[[], object] = lambda: None
    ) -> None:
        """`before_end` is called before the process ends, which it keeps waiting for PATIENCE at most."""
        self._leased = leased
        self._longest = longest
        self._before_end = before_end

    def check(self) -> None:
        """Log and end the process at once where a micro-batch has taken too long."""
        held = self._leased.stuck(self._longest)
        if held is not None:
            log.critical("batch_stuck", extra={"seconds": held.total_seconds()})
            last = threading.Thread(target=self._before_end, daemon=True)
            last.start()
            last.join(timeout=PATIENCE.total_seconds())
            os._exit(STUCK_EXIT)
