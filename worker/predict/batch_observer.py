"""What a predict worker lets people see: how its images waited and ended, whose they were, and which versions serve."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any

import redis
from prometheus_client import Gauge

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.prediction import Status
from shared.observability.metrics import BULK, INTERACTIVE, ModelMetrics, PredictMetrics
from shared.queue.consumer.lanes import Entry, Lanes, Result

log = logging.getLogger(__name__)


class BatchObserver:
    """Counts and logs for one model; `clock` tells seconds since the epoch."""

    def __init__(self, lanes: Lanes, metrics: ModelMetrics, *, clock: Callable[[], float] = time.time) -> None:
        self._lanes = lanes
        self.metrics = metrics
        self._clock = clock

    def pulled(self, entries: Sequence[Entry]) -> None:
        """Observe how long each image waited, by this machine's clock against Redis'."""
        now_ms = self._clock() * 1000
        for entry in entries:
            lane = BULK if entry.is_bulk else INTERACTIVE
            self.metrics.queue[lane].observe(max(0.0, now_ms - entry.submitted_ms) / 1000)

    def took_over(self, suspect: Entry) -> None:
        """Count and log an image whose worker is gone: if it ends this one too, the log says which it was."""
        self.metrics.reclaimed.inc()
        for facts in self._about([suspect]):
            log.warning("suspect_taken_over", extra=facts)

    def computed(self, results: Sequence[Result]) -> None:
        """Count a batch, and log each image that failed; to be called while those who want it are on their lists."""
        self.metrics.batch_size.observe(len(results))
        self.metrics.attempts.inc(len(results))
        self.metrics.count(result.code or result.state for result in results)
        failed = [result for result in results if result.state == Status.FAILED]
        if failed:
            about = self._about([result.entry for result in failed])
            for result, facts in zip(failed, about, strict=True):
                log.warning("image_failed", extra=facts | {"error_code": result.code, "error": result.error})

    def _about(self, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        """Return for each entry its version and attempt, and the prediction that asked first, its request and batch.

        A log must not cost a result: where Redis does not say whose an entry is, those are left out.
        """
        try:
            wanted = self._lanes.who_wants(entries)
        except redis.RedisError:
            wanted = {}
        about = []
        for entry in entries:
            facts: dict[str, Any] = {"version": entry.version, "attempt": entry.attempts}
            if (who := wanted.get(entry.id)) is not None:
                facts |= {"prediction_id": who.id, "request_id": who.request_id, "batch_id": who.batch}
                facts |= {"others": who.others}
            about.append(facts)
        return about


class VersionObserver:
    """Counts loads of one model's versions, and shows which of them serve or fail; `show` is one thread's."""

    def __init__(self, metrics: PredictMetrics, model: ModelName) -> None:
        self._metrics = metrics
        self._model = model
        self._serving: set[tuple[str, ...]] = set()
        self._failing: set[tuple[str, ...]] = set()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Time the block, which loads a version, and count whether it raised."""
        started = time.monotonic()
        try:
            yield
        except Exception:
            self._metrics.loads.labels(self._model, "failed").inc()
            raise
        self._metrics.loads.labels(self._model, "loaded").inc()
        self._metrics.load_seconds.labels(self._model).observe(time.monotonic() - started)

    def show(self, serving: Mapping[str, VersionKey], *, failing: Mapping[VersionNumber, str]) -> None:
        """Show what serves under each alias, and which versions can't be loaded; what was before no longer."""
        # A version's key begins with its number.
        now = {(alias, key.partition("-")[0]) for alias, key in serving.items()}
        self._set(self._metrics.serving, self._serving, now)
        self._set(self._metrics.failing, self._failing, {(number,) for number in failing})

    def _set(self, gauge: Gauge, shown: set[tuple[str, ...]], now: AbstractSet[tuple[str, ...]]) -> None:
        for gone in shown - now:
            gauge.remove(self._model, *gone)
        for labels in now:
            gauge.labels(self._model, *labels).set(1)
        shown.clear()
        shown.update(now)
