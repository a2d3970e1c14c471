"""Images whose version is not loaded: they wait, leased, while a thread loads it; other versions compute meanwhile.

A version is unloaded when memory is short (`worker/models/versions/memory_budget.py`), or never was loaded here: one
that a request names by its number.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from shared.domain.identifiers import VersionKey
from shared.queue.consumer.entries import Entry
from worker.models.errors import ModelUnavailable
from worker.predict.slots import BatchSlots

log = logging.getLogger(__name__)


class UnloadedVersions:
    """One model's entries that wait for their version to be loaded, in this process.

    Killed at any line: they stay pending under this consumer until their lease ends, as all entries do. One that has
    waited for `longest` is leased no more: another worker takes it over.
    """

    def __init__(
        self,
        load: Callable[[Entry], object],
        *,
        slots: BatchSlots,
        compute: Callable[[Sequence[Entry]], object],
        on_room: Callable[[], object],
        longest: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` loads what an entry needs, and may raise ModelUnavailable.

        `compute` predicts and finishes entries, once their version is loaded or failed to be. `on_room` is called when
        no entry waits any more.
        """
        self._load = load
        self._slots = slots
        self._compute = compute
        self._on_room = on_room
        self._longest = longest.total_seconds()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: dict[VersionKey, list[tuple[float, Entry]]] = {}
        self._in_hand: list[Entry] = []
        self._threads: dict[VersionKey, threading.Thread] = {}

    def count(self) -> int:
        """Return how many entries wait."""
        return sum(len(entries) for entries in list(self._waiting.values())) if self._waiting else 0

    def entries(self) -> list[Entry]:
        """Return those whose leases have to be renewed."""
        since = self._monotonic() - self._longest
        with self._lock:
            waiting = [one for entries in self._waiting.values() for began, one in entries if began >= since]
            return waiting + self._in_hand

    def take(self, entries: Sequence[Entry]) -> None:
        """Keep these entries of one version until it is loaded; load it in a thread unless one does."""
        key, now = entries[0].version, self._monotonic()
        with self._lock:
            self._waiting.setdefault(key, []).extend((now, entry) for entry in entries)
            if key not in self._threads:
                self._threads[key] = threading.Thread(target=self._run, args=(key,), name=f"load-{key}", daemon=True)
                self._threads[key].start()

    def stop(self) -> None:
        """Finish what waits, half a minute a version at most; the rest runs elsewhere once its lease ends."""
        for thread in list(self._threads.values()):
            thread.join(timeout=30)

    def _run(self, key: VersionKey) -> None:
        try:
            while (entry := self._first(key)) is not None:
                # A suspect waits for it: it may end the process, and these entries with it.
                with self._slots.loading(), suppress(ModelUnavailable):
                    self._load(entry)
                self._compute_all(key)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it was: their leases end, and they run alone
            log.warning("images_left", extra={"version": key, "error": repr(error)[:300]})
            with self._lock:
                self._waiting.pop(key, None)
                self._threads.pop(key, None)
        with suppress(Exception):  # the next poll sees the room too
            self._on_room()

    def _first(self, key: VersionKey) -> Entry | None:
        """Return one of the entries that wait; None where none do, and this thread is the version's no more."""
        with self._lock:
            if waiting := self._waiting.get(key):
                return waiting[0][1]
            self._waiting.pop(key, None)
            self._threads.pop(key, None)
            return None

    def _compute_all(self, key: VersionKey) -> None:
        with self._lock:
            entries = [entry for _, entry in self._waiting.pop(key, [])]
            self._in_hand += entries
        try:
            self._compute(entries)
        finally:
            with self._lock:
                self._in_hand = [entry for entry in self._in_hand if entry not in entries]
