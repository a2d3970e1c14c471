"""The loaded versions of one model in this process' memory, and when those that failed to load may be tried again."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.identifiers import VersionKey
from worker.models.errors import ModelUnavailable, is_of_a_model
from worker.models.failure_text import failure_text
from worker.models.loaded_model import LoadedModel
from worker.models.versions.memory_budget import MemoryBudget, Use, use
from worker.process.garbage import collect_dropped
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


@dataclass(slots=True)
class _Held:
    model: LoadedModel
    bytes: int
    last: int


class VersionCache:
    """Loads versions when asked; keeps the `room` last used and those that serve, as far as the memory budget allows.

    A version that serves and was unloaded for its memory is loaded again when it is asked for.
    """

    def __init__(
        self,
        load: Callable[[VersionKey], LoadedModel],
        *,
        room: int,
        budget: MemoryBudget | None = None,
        on_unload: Callable[[VersionKey], object] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._room = room
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # A lock of its own: loading takes seconds, and a thread that needs a loaded version must not wait for that.
        self._loading = threading.Lock()
        self._loaded: OrderedDict[VersionKey, _Held] = OrderedDict()
        self._proven: set[VersionKey] = set()
        self._pinned: frozenset[VersionKey] = frozenset()
        self._budget = budget
        self._on_unload = on_unload
        if budget is not None:
            budget.join(self)
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
        for key in dropped:
            self._on_unload(key)
        if dropped:
            collect_dropped()

    def prove(self, key: VersionKey) -> None:
        """Load a version unless it has been loaded before, though it may be unloaded now; raises ModelUnavailable."""
        if not self.is_proven(key):
            self.get(key)

    def is_proven(self, key: VersionKey) -> bool:
        """Tell whether the version was loaded before in this process."""
        with self._lock:
            return key in self._proven

    def pin(self, keys: Iterable[VersionKey]) -> None:
        """Never unload these for their memory: they can't be loaded again."""
        with self._lock:
            self._pinned = frozenset(keys)

    def uses(self) -> list[Use]:
        """Return every version that is loaded, for the budget."""
        with self._lock:
            return [Use(held.last, held.bytes, key, key in self._pinned) for key, held in self._loaded.items()]

    def unload(self, key: VersionKey) -> bool:
        """Drop a version because memory is short; False where it is not loaded any more."""
        with self._lock:
            held = self._loaded.pop(key, None)
        if held is None:
            return False
        log.info("version_unloaded", extra={"version": key, "bytes": held.bytes})
        self._on_unload(key)
        return True

    def clear(self) -> None:
        """Drop all versions."""
        with self._lock:
            dropped = list(self._loaded)
            self._loaded.clear()
        if self._budget is not None:
            self._budget.leave(self)
        for key in dropped:
            self._on_unload(key)

    def has_to_load(self, key: VersionKey) -> bool:
        """Tell whether `get` would load the version now."""
        if self.holds(key):
            return False
        failure = self._failures.get(key)
        return failure is None or self._monotonic() >= failure.retry_at

    def _find(self, key: VersionKey) -> LoadedModel | None:
        """Return the version where it is loaded; loads nothing."""
        with self._lock:
            held = self._loaded.get(key)
            if held is None:
                return None
            self._loaded.move_to_end(key)
            held.last = next(use)
            return held.model

    def _fetch(self, key: VersionKey, failure: _Failure | None) -> LoadedModel:
        try:
            with short_switch_interval():
                model = self._load(key)
        except BaseException as error:  # a model is code; where that exits, or a library panics, the worker must not
            if not is_of_a_model(error):
                raise
            pause = FIRST_RETRY if failure is None else min(failure.pause * 2, LAST_RETRY)
            reason = failure_text(error)
            retry_at = self._monotonic() + pause.total_seconds()
            self._failures[key] = _Failure(reason, pause, retry_at)
            facts = {"version": key, "reason": reason, "retry_in_s": pause.total_seconds()}
            log.warning("version_failed", extra=facts)
            raise ModelUnavailable(reason) from error
        size = model.memory_bytes if self._budget is not None else 0
        with self._lock:
            self._failures.pop(key, None)
            self._loaded[key] = _Held(model, size, next(use))
            self._proven.add(key)
            dropped = self._make_room()
        for gone in dropped:
            self._on_unload(gone)
        if dropped:
            # A graph refers to itself: without this its weights would stay for long.
            collect_dropped()
        if self._budget is not None:
            self._budget.make_room(key, of=self)
        return model

    def _make_room(self) -> list[VersionKey]:
        """Drop the least recently used versions over the limit, but neither the newest nor those to be kept.

        Return which were dropped.
        """
        dropped = []
        for key in list(self._loaded)[:-1]:
            if len(self._loaded) <= self._room:
                break
            if key not in self._kept:
                del self._loaded[key]
                dropped.append(key)
        return dropped
