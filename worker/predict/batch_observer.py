"""What a predict worker lets people see: how its images waited and ended, whose they were, and which versions serve."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis

from shared.domain.prediction import Status
from shared.observability.metrics import BULK, INTERACTIVE, ModelMetrics
from shared.queue.consumer.entries import Entry, Result
from shared.queue.consumer.lanes import Lanes

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
