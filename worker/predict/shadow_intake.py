"""Decides whether a micro-batch's images are kept for the model's shadow, and counts those that are not."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from shared.domain.model_route import ShadowTarget
from shared.observability.metrics import ShadowMetrics
from shared.queue.consumer.entries import Result
from shared.queue.consumer.shadow_offer import ShadowOffer
from shared.settings import Queue

MOST_MEMORY: Final = 0.7
"""Share of Redis' memory limit from which on no image is kept for a shadow; images are accepted up to 0.8 of it."""
HEAVY, MEMORY_HIGH, LANE_FULL = "heavy", "memory_high", "lane_full"


class ShadowIntake:
    """One model's; `target` returns what its shadow predicts, None without one: then nothing is done or counted."""

    def __init__(self, target: Callable[[], ShadowTarget | None], *, settings: Queue, metrics: ShadowMetrics) -> None:
        self._target = target
        self._settings = settings
        self._metrics = metrics
        self._memory_is_high = False

    @property
    def target(self) -> ShadowTarget | None:
        """What the shadow predicts now."""
        return self._target()

    def note_memory(self, *, used: int, limit: int) -> None:
        """Keep in mind how full Redis is; `limit` 0: it has none."""
        self._memory_is_high = bool(limit) and used >= MOST_MEMORY * limit

    def offer(self, results: Sequence[Result], *, heavy: bool) -> ShadowOffer | None:
        """Return which of these results' images the shadow takes; None where none may be."""
        target = self._target()
        if target is None:
            return None
        offer = ShadowOffer(
            target=target,
            most_entries=self._settings.max_shadow_depth,
            most_bytes=self._settings.max_shadow_bytes,
            counted=partial(self._count, target.version),
        )
        if heavy or self._memory_is_high:
            self._metrics.skip(HEAVY if heavy else MEMORY_HIGH, offer.taken(results))
            return None
        return offer

    def _count(self, version: str, moved: int, full: int) -> None:
        self._metrics.queue(version, moved)
        self._metrics.skip(LANE_FULL, full)
