"""Leases on the entries that this process works on: renewed while it lives, so that no other worker takes them over."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from shared.queue.consumer.entries import Entry
from shared.queue.consumer.lanes import Lanes


class LeasedEntries:
    """The entries of the micro-batches that run in this process, and since when they do."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._batches: dict[int, tuple[int, float, Sequence[Entry], timedelta]] = {}

    @contextmanager
    def hold(self, entries: Sequence[Entry], *, longest: timedelta = timedelta.max) -> Iterator[None]:
        """Keep the entries leased for the length of the block, which should not take longer than `longest`."""
        key = id(entries)
        with self._lock:
            self._batches[key] = (threading.get_ident(), self._clock(), entries, longest)
        try:
            yield
        finally:
            with self._lock:
                del self._batches[key]

    def progressed(self) -> None:
        """Begin the time of the micro-batches of this thread anew: a part of them is done, so they are not stuck."""
        thread = threading.get_ident()
        with self._lock:
            for key, (holder, _, entries, longest) in self._batches.items():
                if holder == thread:
                    self._batches[key] = (holder, self._clock(), entries, longest)

    def entries(self) -> list[Entry]:
        """Return all entries held now."""
        with self._lock:
            return [entry for _, _, batch, _ in self._batches.values() for entry in batch]

    def longest(self) -> timedelta:
        """Return how long the oldest micro-batch has been held."""
        with self._lock:
            started = [since for _, since, _, _ in self._batches.values()]
        return timedelta(seconds=self._clock() - min(started)) if started else timedelta(0)

    def stuck(self, usual: timedelta) -> timedelta | None:
        """Return how long a micro-batch has been held that has taken too long, over `usual` or its own limit."""
        now = self._clock()
        with self._lock:
            held = [(timedelta(seconds=now - since), longest) for _, since, _, longest in self._batches.values()]
        return max((time for time, longest in held if time > min(longest, usual)), default=None)


class LeaseKeeper:
    """Renews the leases of a process, and its registration as a worker of each model it serves."""

    def __init__(self, leased: LeasedEntries, *, heavy: Callable[[], list[Entry]]) -> None:
        """`heavy` returns the heavy images in hand, whose leases are renewed too."""
        self._leased = leased
        self._heavy = heavy
        self._lanes: list[Lanes] = []
        self._any: Lanes | None = None
        self._lock = threading.Lock()

    def add(self, lanes: Lanes) -> None:
        """Register for this model too from now on; called from the thread that begins to serve it."""
        with self._lock:
            self._lanes.append(lanes)
            self._any = self._any or lanes

    def remove(self, lanes: Lanes) -> None:
        """Register for this model no more; what is in hand of it is still renewed.

        Returns once a registration under way is made: one made later would count this worker where it has left.
        """
        with self._lock:
            self._lanes.remove(lanes)

    def renew(self, *, signs: Sequence[str] = ()) -> bool:
        """Renew everything once, and give these other signs of life with it, unless no model is served: then False.

        Raises what Redis raises.
        """
        if self._any is not None:
            # Any model's lanes will do: an entry names its own.
            self._any.renew(self._leased.entries() + self._heavy())
        with self._lock:
            if self._lanes:
                self._lanes[0].sign_of_life(*self._lanes[1:], signs=signs)
            return bool(self._lanes)
