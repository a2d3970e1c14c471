"""Counts recorded predictions for reports: some with each sweep, by whichever upkeep worker comes first."""

import logging
import time
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.storage.version_figures import count_pending

log = logging.getLogger(__name__)

CHUNK: Final = 20_000
"""Rows counted in one commit: about 0.1 s, for which deletions of rows wait."""
LONGEST: Final = timedelta(milliseconds=500)
"""How long a sweep, which comes every 2 s, may count: 100,000 rows."""
PAUSE: Final = timedelta(seconds=10)
"""Time between counting what is new. Reports add what is pending, and fewer commits change the same counters."""


class ReportCounters:
    """Counts in chunks, each in a commit of its own, so that it may be killed at any line."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._next = 0.0

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
        except SQLAlchemyError as error:
            log.warning("report_counting_put_off", extra={"error": type(error).__name__})
            rows = 0
        if not rows:
            self._next = time.monotonic() + PAUSE.total_seconds()
        return counted
