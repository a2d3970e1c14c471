"""Heavy images: those that take long to decode are computed in threads of their own, beside the micro-batches.

A flood of them delays nobody else's images: a worker decodes as many at once as it runs micro-batches at once, each
within a bound of time, and pulls no more of them than it has room for. The rest wait in their lanes, which take turns.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final

from shared.queue.consumer.entries import Entry

log = logging.getLogger(__name__)

MOST_LANES_KNOWN: Final = 64
"""How many lanes are remembered as those that gave heavy images lately."""


class HeavyImages:
    """The heavy images in this process: added by the thread that pulls, computed by threads of their own.

    Killed at any line: they stay pending under this consumer until their lease ends, as all entries do.
    """

    def __init__(self, threads: int, *, compute: Callable[[Entry], object], on_room: Callable[[], object]) -> None:
        """`compute` decodes, predicts and finishes one entry; `on_room` is called when there is room for more."""
        self._compute = compute
        self._on_room = on_room
        self._threads = threads
        self._waiting: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._in_hand: dict[tuple[str, str], Entry] = {}
        self._lanes: dict[str, None] = {}
        self._started: list[threading.Thread] = []

    def room(self) -> int:
        """Return how many more heavy images could begin to be decoded now."""
        return max(0, self._threads - len(self._in_hand))

    def in_hand(self) -> int:
        """Return how many are waiting or being computed."""
        return len(self._in_hand)

    def lanes(self) -> list[str]:
        """Return the bulk lanes that gave heavy images lately."""
        if not self._lanes:
            return []
        with self._lock:
            return list(self._lanes)

    def entries(self) -> list[Entry]:
        """Return those that are waiting or being computed, whose leases have to be renewed."""
        with self._lock:
            return list(self._in_hand.values())

    def learn(self, pulled: Sequence[Entry], heavy: Sequence[Entry]) -> None:
        """Remember which bulk lanes give heavy images: of those no more is pulled than there is room for."""
        if not heavy and not self._lanes:
            return
        with self._lock:
            gave = {entry.lane for entry in heavy if entry.is_bulk}
            for lane in {entry.lane for entry in pulled} - gave:
                self._lanes.pop(lane, None)
            for lane in gave:
                self._lanes.pop(lane, None)
                self._lanes[lane] = None
            while len(self._lanes) > MOST_LANES_KNOWN:
                del self._lanes[next(iter(self._lanes))]

    def take(self, heavy: Sequence[Entry]) -> None:
        """Compute these, in order, as threads become free."""
        with self._lock:
            self._in_hand.update({(entry.lane, entry.id): entry for entry in heavy})
            while len(self._started) < min(self._threads, len(self._in_hand)):
                thread = threading.Thread(
                    target=self._run, args=(self._waiting,), name=f"heavy-{len(self._started)}", daemon=True
                )
                self._started.append(thread)
                thread.start()
            # With the lock: behind the end of the threads nobody would compute them, and their leases be renewed.
            for entry in heavy:
                self._waiting.put(entry)

    def stop(self) -> None:
        """Finish what is in hand, half a minute a thread at most; the rest runs elsewhere once its lease ends.

        The model may be served again later: what is taken then gets threads of its own.
        """
        with self._lock:
            threads, self._started = self._started, []
            waiting, self._waiting = self._waiting, queue.SimpleQueue()
        for _ in threads:
            waiting.put(None)
        for thread in threads:
            thread.join(timeout=30)

    def _run(self, waiting: "queue.SimpleQueue[Entry | None]") -> None:
        while (entry := waiting.get()) is not None:
            try:
                self._compute(entry)
            except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it was: its lease ends, and it runs alone
                log.warning("heavy_image_left", extra={"lane": entry.lane, "entry": entry.id, "error": repr(error)})
            with self._lock:
                del self._in_hand[entry.lane, entry.id]
            self._announce_room()

    def _announce_room(self) -> None:
        try:
            self._on_room()
        except Exception as error:  # noqa: BLE001  the next poll sees the room too
            log.warning("heavy_room_not_told", extra={"error": repr(error)})
