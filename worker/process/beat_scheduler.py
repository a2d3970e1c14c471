"""Beat's scheduler: Celery's, on a clock that nobody sets, and with a limit to what piles up where no worker runs."""

import logging
import time
from typing import Any, Final

from celery.beat import PersistentScheduler, ScheduleEntry
from redis.exceptions import RedisError

from shared.queue import keys

log = logging.getLogger(__name__)

MOST_WAITING: Final = 60
"""Sweeps that may wait: an old one has no use, and a worker that comes back does so many in a second.

Not Celery's `expires`: that is a time of beat's clock, which a worker compares with its own. One that is some seconds
ahead of beat's would never sweep.
"""


class SteadyScheduler(PersistentScheduler):  # type: ignore[misc]
    """Celery keeps its next runs by the time of day: set back an hour, beat sent nothing for an hour."""

    def _when(self, entry: ScheduleEntry, next_time_to_run: float, mktime: object = None) -> float:  # noqa: ARG002
        """Return when an entry is to run; the scheduler compares nothing but such times with each other."""
        return time.monotonic() + (self.adjust(next_time_to_run) or 0)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send an entry's task, and drop the oldest beyond MOST_WAITING."""
        super().apply_entry(entry, producer=producer)
        try:
            # Tasks are pushed at the front and taken from the end.
            (producer or self.producer).channel.client.ltrim(keys.UPKEEP_QUEUE, 0, MOST_WAITING - 1)
        except (RedisError, OSError) as error:  # the next one drops them
            log.debug("old_sweeps_kept", extra={"error": type(error).__name__})
