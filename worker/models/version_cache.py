"""The loaded versions of one model in this process' memory, and when those that failed to load may be tried again."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.identifiers import VersionKey
from worker.models.errors import ModelUnavailable
from worker.models.failure_text import failure_text
from worker.models.loaded_model import LoadedModel
from worker.process.garbage import collect_all
from worker.process.switch_interval import short_switch_interval

log = logging.getLogger(__name__)

FIRST_RETRY = timedelta(seconds=5)
LAST_RETRY = timedelta(minutes=5)
"""A version that fails is tried again after pauses that double up to this, not for every image."""


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    pause: timedelta
    retry_at: float


class VersionCache:
    """Loads versions when asked; keeps the `room` last used and, in any case, those that serve."""

    def __init__(
        self,
        load: Callable[[VersionKey], LoadedModel],
        *,
        room: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._room = room
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # A lock of its own: loading takes seconds, and a thread that needs a loaded version must not wait for that.
        self._loading = threading.Lock()
        self._loaded: OrderedDict[VersionKey, LoadedModel] = OrderedDict()
        self._kept: frozenset[VersionKey] = frozenset()
        self._failures: dict[VersionKey, _Failure] = {}

    def get(self, key: VersionKey) -> LoadedModel:
        """Return the version, loading it if need be; raises ModelUnavailable saying why not."""
        model = self._find(key)
        if model is not None:
            return model
        with self._loading:
            # Another thread may have loaded it, or failed to, meanwhile.
            model = self._find(key)
            if model is not None:
                return model
            failure = self._failures.get(key)
            if failure is not None and self._monotonic() < failure.retry_at:
                raise ModelUnavailable(failure.reason)
            return self._fetch(key, failure)

    def holds(self, key: VersionKey) -> bool:
        """Tell whether the version is loaded."""
        with self._lock:
            return key in self._loaded

    def keep(self, serving: Iterable[VersionKey]) -> None:
        """Keep these versions, whatever else is used; drop others that are too many now."""
        with self._lock:
            self._kept = frozenset(serving)
            dropped = self._make_room()
        if dropped:
            collect_all()

    def clear(self) -> None:
        """Drop all versions."""
        with self._lock:
            self._loaded.clear()

    def _find(self, key: VersionKey) -> LoadedModel | None:
        with self._lock:
            model = self._loaded.get(key)
            if model is not None:
                self._loaded.move_to_end(key)
            return model

    def _fetch(self, key: VersionKey, failure: _Failure | None) -> LoadedModel:
        try:
            with short_switch_interval():
                model = self._load(key)
        except (Exception, SystemExit) as error:  # a model is code; where that exits, the worker must not
            pause = FIRST_RETRY if failure is None else min(failure.pause * 2, LAST_RETRY)
            reason = failure_text(error)
            retry_at = self._monotonic() + pause.total_seconds()
            self._failures[key] = _Failure(reason, pause, retry_at)
            facts = {"version": key, "reason": reason, "retry_in_s": pause.total_seconds()}
            log.warning("version_failed", extra=facts)
            raise ModelUnavailable(reason) from error
        with self._lock:
            self._failures.pop(key, None)
            self._loaded[key] = model
            dropped = self._make_room()
        if dropped:
            # A graph refers to itself: without this its weights would stay for long.
            collect_all()
        return model

    def _make_room(self) -> bool:
        """Drop the least recently used versions over the limit, but neither the newest nor those to be kept.

        Return whether any was dropped.
        """
        before = len(self._loaded)
        for key in list(self._loaded)[:-1]:
            if len(self._loaded) <= self._room:
                break
            if key not in self._kept:
                del self._loaded[key]
        return len(self._loaded) < before
