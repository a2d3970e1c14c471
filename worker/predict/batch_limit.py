"""How many images a micro-batch may have: the setting, less on a CPU, after memory was short, of bulk beside people's.

On a CPU a micro-batch of mobilenet_v3_small has 16 images, since more at once cost as much each: a worker process that
takes all 64 that clients wait for leaves the other processes idle for a quarter of a second.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from shared.settings import Batching

log = logging.getLogger(__name__)

LOWERED_FOR: Final = timedelta(minutes=10)
"""How long a limit stays halved after memory was short."""
LEAST_BESIDE_PEOPLE: Final = 2


class BatchLimit:
    """One model's limit in this process; any thread may lower it."""

    def __init__(self, batching: Batching, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = batching.max_batch_size
        self._beside_people_ms = batching.beside_people / timedelta(milliseconds=1)
        self._monotonic = monotonic
        self._limit = self._most
        self._lowered_until = 0.0
        self._milliseconds_each = 0.0
        self._enough: int | None = None

    def tune(self, *, max_batch_size: int, beside_people: timedelta) -> None:
        """Change the limit without what was learnt."""
        self._most = max_batch_size
        self._beside_people_ms = beside_people / timedelta(milliseconds=1)

    def images(self) -> int:
        """Return how many images the next micro-batch may have.

        The full number again some time after memory was short: what else was on the device may be gone.
        """
        if self._monotonic() >= self._lowered_until:
            self._limit = self._most
        return self._limit if self._enough is None else min(self._limit, self._enough)

    def keep_to(self, enough: int | None) -> None:
        """Take no more than `enough` images from now on, as the version computed last says; None: no such bound."""
        self._enough = enough

    def beside_people(self) -> int:
        """Return how many bulk images fit into the time that people may wait for others' images; at least two."""
        if self._beside_people_ms >= self._milliseconds_each * self._limit:
            return self._limit
        return max(LEAST_BESIDE_PEOPLE, int(self._beside_people_ms / self._milliseconds_each))

    def lower(self, images: int) -> None:
        """Allow this many images at most, at least one, for a while: memory was short for twice as many."""
        self._limit = max(1, min(self._limit, images))
        self._lowered_until = self._monotonic() + LOWERED_FOR.total_seconds()
        log.warning("out_of_memory", extra={"batch_limit": self._limit})

    def learn(self, milliseconds: float, *, images: int) -> None:
        """Update the mean time of an image with that of a micro-batch."""
        self._milliseconds_each = 0.8 * self._milliseconds_each + 0.2 * milliseconds / images
