"""Ends the process when a micro-batch is stuck: its leases run out, and another worker takes its entries over."""

import logging
import os
from datetime import timedelta

from worker.predict.leases import LeasedEntries
from worker.process.exit_statuses import STUCK_EXIT

log = logging.getLogger(__name__)


class Watchdog:
    """Allows each micro-batch `longest`, or less where its model's tags say so.

    A forward pass that hangs in C ends with its process alone.
    """

    def __init__(self, leased: LeasedEntries, *, longest: timedelta) -> None:
        self._leased = leased
        self._longest = longest

    def check(self) -> None:
        """Log and end the process at once where a micro-batch has taken too long."""
        held = self._leased.stuck(self._longest)
        if held is not None:
            log.critical("batch_stuck", extra={"seconds": held.total_seconds()})
            os._exit(STUCK_EXIT)
