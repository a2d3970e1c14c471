"""Metrics of one model's versions: how often and how long they load, which serve, which fail."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Final

from prometheus_client import Gauge

from shared.domain.canary import Canary, Phase
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.observability.metrics import PredictMetrics

TOLD: Final = timedelta(days=1)
"""How long it is shown that a canary went back: nobody has to do anything that would end it."""


class VersionObserver:
    """Observes one model's versions. Call `show` from one thread only."""

    def __init__(self, metrics: PredictMetrics, model: ModelName, *, now: Callable[[], float] = time.time) -> None:
        """`now` returns the seconds since 1970."""
        self._metrics = metrics
        self._model = model
        self._now = now
        self._serving: set[tuple[str, ...]] = set()
        self._failing: set[tuple[str, ...]] = set()
        self._went_back: set[tuple[str, ...]] = set()
        self._canary: set[tuple[str, ...]] = set()
        self._canary_back: set[tuple[str, ...]] = set()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Time the block, which loads a version, and count it as loaded or, if it raises, as failed."""
        started = time.monotonic()
        try:
            yield
        except Exception:
            self._metrics.loads.labels(self._model, "failed").inc()
            raise
        self._metrics.loads.labels(self._model, "loaded").inc()
        self._metrics.load_seconds.labels(self._model).observe(time.monotonic() - started)

    def holds(self, key: VersionKey, *, memory: int) -> None:
        """Show what a version takes that was loaded; any thread may call this and `dropped`."""
        self._metrics.memory.labels(self._model, key.partition("-")[0]).set(memory)

    def dropped(self, key: VersionKey) -> None:
        """Count a version that was unloaded."""
        self._metrics.unloads.labels(self._model).inc()
        with suppress(KeyError):
            self._metrics.memory.remove(self._model, key.partition("-")[0])

    def show(
        self,
        serving: Mapping[str, VersionKey],
        *,
        failing: Iterable[VersionNumber],
        went_back: Iterable[VersionNumber] = (),
        canary: Canary | None = None,
    ) -> None:
        """Set which version serves under each alias, which can't be loaded and which champions failed too many images.

        And where the model's last canary is. Removes what no longer holds.
        """
        # A version's key begins with its number.
        now = {(alias, key.partition("-")[0]) for alias, key in serving.items()}
        self._set(self._metrics.serving, self._serving, now)
        self._set(self._metrics.failing, self._failing, {(number,) for number in failing})
        self._set(self._metrics.went_back, self._went_back, {(number,) for number in went_back})
        self._set(self._metrics.canary, self._canary, {(canary.version, canary.phase)} if canary else set())
        back = {(canary.version,)} if canary is not None and self._went_back_of_late(canary) else set()
        self._set(self._metrics.canary_went_back, self._canary_back, back)

    def _went_back_of_late(self, canary: Canary) -> bool:
        return canary.phase is Phase.WENT_BACK and self._now() - canary.since < TOLD.total_seconds()

    def _set(self, gauge: Gauge, shown: set[tuple[str, ...]], now: AbstractSet[tuple[str, ...]]) -> None:
        for gone in shown - now:
            gauge.remove(self._model, *gone)
        for labels in now:
            gauge.labels(self._model, *labels).set(1)
        shown.clear()
        shown.update(now)
