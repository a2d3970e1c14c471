"""Deletes rows from Postgres that are older than the settings keep them: some with each sweep."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.domain.identifiers import PredictionId
from shared.settings import Retention as Settings
from shared.storage import retention

log = logging.getLogger(__name__)

CHUNK: Final = 2000
"""Rows deleted in one commit: about 30 ms."""
LONGEST: Final = timedelta(milliseconds=500)
"""How long a sweep, which comes every 2 s, may delete."""
PAUSE: Final = timedelta(seconds=10)
"""Time between two looks where the first found nothing: each is two statements at least."""


class Retention:
    """Deletes in chunks, each in a commit of its own, so that it may be killed at any line."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        secret_overlap: timedelta,
    ) -> None:
        """`secret_overlap` is how long a retired webhook secret still signs; after that it is deleted."""
        self._engine = engine
        self._settings = settings
        self._secret_overlap = secret_overlap
        self._next = 0.0
        self._read_to: PredictionId | None = None
        self._read_from: PredictionId | None = None

    def sweep(self) -> int:
        """Delete for half a second at most; return how many rows. While Postgres is away it logs that and returns 0."""
        if time.monotonic() < self._next:
            return 0
        end, deleted = time.monotonic() + LONGEST.total_seconds(), 0
        try:
            with self._engine.connect() as connection:
                for rows in self._chunks(connection):
                    deleted += rows
                    if time.monotonic() > end:
                        break
        except SQLAlchemyError as error:
            log.warning("retention_put_off", extra={"error": type(error).__name__})
        else:
            if not deleted:
                self._next = time.monotonic() + PAUSE.total_seconds()
        if deleted:
            log.info("deleted", extra={"rows": deleted})
        return deleted

    def _chunks(self, connection: Connection) -> Iterator[int]:
        """Delete chunk by chunk until nothing is left; yield the number of rows of each."""
        keep = self._settings
        if keep.predictions is not None:
            before = datetime.now(UTC) - keep.predictions
            while rows := retention.delete_batches(connection, before, limit=CHUNK):
                yield rows
            yield from self._predictions(connection, before)
            while rows := retention.delete_orphaned_feedback(connection, before, limit=CHUNK):
                yield rows
        before = datetime.now(UTC) - keep.deliveries
        while rows := retention.delete_deliveries(connection, before, limit=CHUNK):
            yield rows
        while rows := retention.delete_retired_secrets(connection, overlap=self._secret_overlap, limit=CHUNK):
            yield rows

    def _predictions(self, connection: Connection, before: datetime) -> Iterator[int]:
        """Delete predictions; resume after the last id read, and restart at the oldest when done.

        After a chunk that was deleted whole, the next read starts where that one did: passing over the deleted rows'
        index entries marks them as dead. Else the next read from the oldest would pass all of them at once, 1.3 s
        after a million.
        """
        while True:
            found = retention.delete_predictions(connection, before, after=self._read_from, limit=CHUNK)
            self._read_from = self._read_to if found.rows == CHUNK else found.last
            self._read_to = found.last
            yield found.rows
            if found.last is None:
                break
