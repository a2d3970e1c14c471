"""Counts recorded predictions for reports, and adds up finished days: some with each sweep, in one worker at a time."""

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.storage.report_days import DAY, sum_day, unsummed_days
from shared.storage.version_figures import count_pending

log = logging.getLogger(__name__)

CHUNK: Final = 20_000
"""Rows counted in one commit: about 0.1 s, for which deletions of rows wait."""
LONGEST: Final = timedelta(milliseconds=500)
"""How long a sweep, which comes every 2 s, may count: 100,000 rows."""
PAUSE: Final = timedelta(seconds=10)
"""Time between counting what is new. Reports add what is pending, and fewer commits change the same counters."""
DAYS_PAUSE: Final = timedelta(minutes=10)
"""Time between looking for days to add up: one step in an index for each model and day, 50 ms for a year of 20."""
SETTLED: Final = timedelta(hours=1)
"""A day is added up so long after its end: rows that come later make it be added up again."""


class ReportCounters:
    """Counts in chunks, each in a commit of its own, so that it may be killed at any line. Days likewise."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._next = 0.0
        self._next_days = 0.0

    def sweep(self) -> int:
        """Count for half a second at most; return how many rows. While Postgres is away it logs that and returns 0."""
        if time.monotonic() < self._next:
            return 0
        end, counted, rows = time.monotonic() + LONGEST.total_seconds(), 0, 0
        try:
            with self._engine.connect() as connection:
                while rows := count_pending(connection, rows=CHUNK):
                    counted += rows
                    if time.monotonic() > end:
                        break
                if not rows:
                    self._sum_days(connection, end)
        except SQLAlchemyError as error:
            log.warning("report_counting_put_off", extra={"error": type(error).__name__})
            rows = 0
        if not rows:
            self._next = time.monotonic() + PAUSE.total_seconds()
        return counted

    def _sum_days(self, connection: Connection, end: float) -> None:
        """Add up days that have ended, until the monotonic time `end`; the next sweep resumes where some are left."""
        if time.monotonic() < self._next_days:
            return
        for model, day in unsummed_days(connection, before=datetime.now(UTC) - DAY - SETTLED):
            if time.monotonic() > end or not sum_day(connection, model, day):
                return
        self._next_days = time.monotonic() + DAYS_PAUSE.total_seconds()
