"""What is past its time leaves Postgres: a little with each sweep."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.domain.identifiers import PredictionId
from shared.settings import Retention as Settings
from shared.storage import retention

log = logging.getLogger(__name__)

CHUNK: Final = 2000
"""Rows a commit: about 30 ms."""
LONGEST: Final = timedelta(milliseconds=500)
"""Of a sweep, which comes every 2 s."""


class Retention:
    """Deletes what the settings no longer keep. Safe to be killed anywhere: each chunk is a commit of its own."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        secret_overlap: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`secret_overlap` is how long a retired webhook secret signs: then it has no use, whatever else is kept."""
        self._engine = engine
        self._settings = settings
        self._secret_overlap = secret_overlap
        self._now = now
        self._looked_at: PredictionId | None = None
        self._look_from: PredictionId | None = None

    def sweep(self) -> int:
        """Delete for half a second at most; return how many rows went. Without Postgres the next sweep tries again."""
        give_up, deleted = time.monotonic() + LONGEST.total_seconds(), 0
        try:
            with self._engine.connect() as connection:
                for rows in self._chunks(connection):
                    deleted += rows
                    if time.monotonic() > give_up:
                        break
        except SQLAlchemyError as error:
            log.warning("retention_put_off", extra={"error": type(error).__name__})
        if deleted:
            log.info("deleted", extra={"rows": deleted})
        return deleted

    def _chunks(self, connection: Connection) -> Iterator[int]:
        """Give the rows of each chunk until nothing is left to delete."""
        keep = self._settings
        if keep.predictions is not None:
            before = self._now() - keep.predictions
            while rows := retention.delete_batches(connection, before, limit=CHUNK):
                yield rows
            yield from self._predictions(connection, before)
        before = self._now() - keep.deliveries
        while rows := retention.delete_deliveries(connection, before, limit=CHUNK):
            yield rows
        while rows := retention.delete_retired_secrets(connection, overlap=self._secret_overlap, limit=CHUNK):
            yield rows

    def _predictions(self, connection: Connection, before: datetime) -> Iterator[int]:
        """Go on where the last look ended, behind what has to stay for now; at the end, next from the start again.

        Behind a chunk that went whole, the look begins where that one began: it marks the index entries that it passes
        as dead. Else the first look from the start passes all of them at once, 1.3 s after a million.
        """
        while True:
            found = retention.delete_predictions(connection, before, after=self._look_from, limit=CHUNK)
            self._look_from = self._looked_at if found.rows == CHUNK else found.last
            self._looked_at = found.last
            yield found.rows
            if found.last is None:
                break
