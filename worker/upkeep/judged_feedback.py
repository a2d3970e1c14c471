"""Judges feedback for reports: some with each sweep."""

import logging
import time
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.storage.judged_feedback import judge_feedback

log = logging.getLogger(__name__)

CHUNK: Final = 2_000
"""Rows judged in one commit: about 0.1 s."""
LONGEST: Final = timedelta(milliseconds=500)
"""How long a sweep, which comes every 2 s, may judge."""
PAUSE: Final = timedelta(seconds=10)
"""Time between judging what is new. Reports judge what is not judged yet themselves, 40 µs a row."""


class JudgedFeedback:
    """Judges in chunks, each in a commit of its own, so that it may be killed at any line."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._next = 0.0

    def sweep(self) -> int:
        """Judge for half a second at most; return how many rows. While Postgres is away it logs that and returns 0."""
        if time.monotonic() < self._next:
            return 0
        end, judged, rows = time.monotonic() + LONGEST.total_seconds(), 0, 0
        try:
            with self._engine.connect() as connection:
                while rows := judge_feedback(connection, rows=CHUNK):
                    judged += rows
                    if time.monotonic() > end:
                        return judged
        except SQLAlchemyError as error:
            log.warning("judging_put_off", extra={"error": type(error).__name__})
        self._next = time.monotonic() + PAUSE.total_seconds()
        return judged
