"""Deletes kept pictures: those past their age, the oldest above the bound in bytes, those of owners that have no rows.

The store is listed once a minute by one upkeep worker, in constant memory: 1,000,000 pictures of a bucket are a
thousand requests. Safe to repeat and to kill anywhere.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Final

import redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.domain.identifiers import Owner
from shared.observability.metrics import StoredPictureMetrics
from shared.pictures.names import owner_prefix
from shared.pictures.picture_store import Kept, PictureStore, StoreError
from shared.queue import keys
from shared.queue.upkeep.owned import Owned
from shared.storage import predictions

log = logging.getLogger(__name__)

PAUSE: Final = timedelta(minutes=1)
AT_ONCE: Final = 500
"""Names that are deleted with one call."""
SETTLED: Final = timedelta(minutes=10)
"""A picture younger than this may belong to predictions that are still to be recorded."""
PARTIAL_AGE: Final = timedelta(minutes=30)
SHARE_LEFT: Final = 0.95
"""Of the bound, what is left after deleting for it: not every sweep has to delete."""


class PictureSweep:
    """Sweeps the store; `now` returns seconds since the epoch."""

    def __init__(
        self,
        store: PictureStore,
        client: redis.Redis,
        engine: Engine,
        metrics: StoredPictureMetrics,
        *,
        most_bytes: int,
        age: timedelta,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._client = client
        self._engine = engine
        self._metrics = metrics
        self._most_bytes = most_bytes
        self._age = age.total_seconds()
        self._now = now

    def sweep_in_turn(self) -> None:
        """Sweep unless another upkeep worker did within the pause; a store that fails is logged."""
        if not self._client.set(keys.PICTURES_SWEPT, "1", nx=True, px=int(PAUSE.total_seconds() * 900)):
            return
        try:
            self.sweep()
        except StoreError as error:
            log.warning("pictures_not_swept", extra={"reason": str(error)})

    def sweep(self) -> int:
        """Delete what is not to be kept; return how many pictures. Raises StoreError, and what Redis raises."""
        now = self._now()
        self._store.clean(before=now - PARTIAL_AGE.total_seconds())
        deleted = Counter(owner=self._delete_ownerless(now))
        deleted["age"] = self._delete(one for one in self._store.pictures() if one.written < now - self._age)
        by_minute, stored = self._measure()
        if by_minute.total() > self._most_bytes:
            excess = by_minute.total() - int(self._most_bytes * SHARE_LEFT)
            deleted["bytes"] = self._delete(self._oldest(by_minute, excess))
            by_minute, stored = self._measure()
        self._metrics.stored.set(stored)
        self._metrics.bytes.set(by_minute.total())
        self._metrics.swept.set(now)
        for reason, pictures in deleted.items():
            self._metrics.deleted.labels(reason).inc(pictures)
        if deleted.total():
            log.info("pictures_deleted", extra={"pictures": dict(deleted)})
        return deleted.total()

    def _measure(self) -> tuple[Counter[int], int]:
        """Return the bytes in the store by the minute in which they were written, and the number of pictures."""
        by_minute: Counter[int] = Counter()
        stored = 0
        for one in self._store.pictures():
            by_minute[int(one.written // 60)] += one.size
            stored += 1
        return by_minute, stored

    def _oldest(self, by_minute: Counter[int], excess: int) -> Iterator[Kept]:
        """Yield the oldest pictures, to the minute, until they are so many bytes together."""
        whole: set[int] = set()
        last, of_last = -1, 0
        for minute in sorted(by_minute):
            if excess <= by_minute[minute]:
                last, of_last = minute, excess
                break
            whole.add(minute)
            excess -= by_minute[minute]
        for one in self._store.pictures():
            minute = int(one.written // 60)
            if minute in whole or (minute == last and of_last > 0):
                of_last -= one.size if minute == last else 0
                yield one

    def _delete_ownerless(self, now: float) -> int:
        """Delete the pictures of owners without any prediction: a purge passed while one was being written."""
        deleted = 0
        for name in list(self._store.owners()):
            try:
                if not self._is_unknown(Owner(name)):
                    continue
            except SQLAlchemyError as error:
                log.warning("owners_of_pictures_unknown", extra={"error": type(error).__name__})
                break
            of_owner = self._store.pictures(owner_prefix(Owner(name)))
            deleted += self._delete(one for one in of_owner if one.written < now - SETTLED.total_seconds())
        return deleted

    def _is_unknown(self, owner: Owner) -> bool:
        """Tell whether an owner has no prediction, neither recorded, nor ended, nor unfinished."""
        with self._engine.connect() as connection:
            if predictions.has_any(connection, owner):
                return False
        return not Owned(self._client, owner).has_unrecorded()

    def _delete(self, pictures: Iterable[Kept]) -> int:
        """Delete pictures in portions; return how many."""
        left, deleted = iter(pictures), 0
        while some := list(islice(left, AT_ONCE)):
            self._store.delete(one.name for one in some)
            deleted += len(some)
        return deleted
