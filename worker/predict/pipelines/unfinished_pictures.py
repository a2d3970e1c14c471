"""Pictures of pipelines that their micro-batch left unfinished: a thread computes them, one bounded part at a time.

A detector may find 32 boxes in each of 64 pictures. In one micro-batch their 2,048 crops would hold up every other
image of the process; in parts of at most 64 crops, other micro-batches get a slot in between, and what is canceled
meanwhile is left out of the next part.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from shared.queue.consumer.entries import Entry
from worker.predict.pipelines.work import Unfinished

log = logging.getLogger(__name__)


class UnfinishedPictures:
    """One model's unfinished pictures in this process.

    Killed at any line: their entries stay pending under this consumer until their lease ends, as all entries do.
    """

    def __init__(self, *, compute_part: Callable[[Unfinished], object], on_room: Callable[[], object]) -> None:
        """`compute_part` takes a part out, and finishes it; `on_room` is called after each part."""
        self._compute_part = compute_part
        self._on_room = on_room
        self._lock = threading.Lock()
        self._waiting = Unfinished()
        self._in_hand = Unfinished()
        self._count = 0
        self._thread: threading.Thread | None = None

    def count(self) -> int:
        """Return how many pictures are unfinished."""
        return self._count

    def entries(self) -> list[Entry]:
        """Return those whose leases have to be renewed; those of the part that is computed are held by it."""
        if not self._count:
            return []
        with self._lock:
            return self._in_hand.all_entries() + self._waiting.all_entries()

    def take(self, unfinished: Unfinished) -> None:
        """Compute these after those that were taken before."""
        with self._lock:
            self._waiting.add(unfinished)
            self._count += len(unfinished.works) + len(unfinished.entries)
            if self._thread is None and self._count:
                self._thread = threading.Thread(target=self._run, name="unfinished-pictures", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Finish what is in hand, half a minute at most; the rest runs elsewhere once its lease ends."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout=30)

    def _run(self) -> None:
        more = self._has_next()
        while more:
            try:
                self._compute_part(self._in_hand)
            except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it was: their leases end, and they run alone
                log.warning("images_left", extra={"error": repr(error)[:300]})
                self._in_hand = Unfinished()
            more = self._has_next()
            with suppress(Exception):  # the next poll sees the room too
                self._on_room()

    def _has_next(self) -> bool:
        """Tell whether anything is to be computed; where nothing is, the next one gets a new thread."""
        with self._lock:
            self._in_hand.add(self._waiting)
            self._waiting = Unfinished()
            self._count = len(self._in_hand.works) + len(self._in_hand.entries)
            if not self._count:
                self._thread = None
            return self._count > 0
