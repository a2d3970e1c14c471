"""What a worker process has in hand: renewed while it lives, run alone where suspected, ended when stuck."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from shared.queue.consumer.lanes import Entry


class BatchSlots:
    """Up to `slots` batches at once in this process, or one suspect with the process to itself.

    Beside the batches images may be decoded elsewhere; a suspect waits for those too.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._running = 0
        self._waiting = 0
        self._beside = 0
        self._alone = False
        self._alone_wanted = 0
        self._condition = threading.Condition()

    @property
    def busy(self) -> bool:
        """Whether anything runs, or waits until it may."""
        return self._running > 0 or self._waiting > 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Wait for a slot; suspects that wait go first."""
        with self._condition:
            self._waiting += 1
            self._condition.wait_for(lambda: self._running < self._slots and not self._alone_wanted)
            self._waiting -= 1
            self._running += 1
        try:
            yield
        finally:
            self._leave(1)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nothing runs and keep it so."""
        with self._condition:
            self._alone_wanted += 1
            self._condition.wait_for(lambda: self._running == 0 and self._beside == 0)
            self._alone_wanted -= 1
            self._running += self._slots
            self._alone = True
        try:
            yield
        finally:
            self._alone = False
            self._leave(self._slots)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Take no slot, but let no suspect run meanwhile; suspects that wait go first."""
        with self._condition:
            self._condition.wait_for(lambda: not self._alone and not self._alone_wanted)
            self._beside += 1
        try:
            yield
        finally:
            with self._condition:
                self._beside -= 1
                self._condition.notify_all()

    def _leave(self, slots: int) -> None:
        with self._condition:
            self._running -= slots
            self._condition.notify_all()


class LeasedEntries:
    """The batches this process works on, for the thread that renews their leases."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._batches: dict[int, tuple[float, Sequence[Entry]]] = {}

    @contextmanager
    def hold(self, entries: Sequence[Entry]) -> Iterator[None]:
        """Count the entries as in hand for the length of the block."""
        key = id(entries)
        with self._lock:
            self._batches[key] = (self._clock(), entries)
        try:
            yield
        finally:
            with self._lock:
                del self._batches[key]

    def entries(self) -> list[Entry]:
        """Return everything in hand."""
        with self._lock:
            return [entry for _, batch in self._batches.values() for entry in batch]

    def longest(self) -> timedelta:
        """Return how long the oldest batch has been in hand."""
        with self._lock:
            started = [since for since, _ in self._batches.values()]
        return timedelta(seconds=self._clock() - min(started)) if started else timedelta(0)
