"""Metrics and log lines about a model's images: how long they waited, how they ended, whose the failed ones were."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis

from shared.domain.prediction import Status
from shared.observability.metrics import BULK, INTERACTIVE, ModelMetrics
from shared.observability.tracing.trace_context import span_id, trace_id
from shared.queue.consumer.entries import Entry, Result
from shared.queue.consumer.lanes import Lanes

log = logging.getLogger(__name__)


class BatchObserver:
    """Observes one model's micro-batches."""

    def __init__(
        self,
        lanes: Lanes,
        metrics: ModelMetrics,
        *,
        on_results: Callable[[Sequence[Result]], object] = lambda _: None,
    ) -> None:
        """`on_results` is called with the results of each micro-batch."""
        self._lanes = lanes
        self._on_results = on_results
        self.metrics = metrics

    def pulled(self, entries: Sequence[Entry]) -> None:
        """Observe how long each image waited: from Redis' clock at submission to this machine's now."""
        now_ms = time.time() * 1000
        for entry in entries:
            lane = BULK if entry.is_bulk else INTERACTIVE
            self.metrics.queue[lane].observe(max(0.0, now_ms - entry.submitted_ms) / 1000)

    def took_over(self, suspect: Entry) -> None:
        """Count and log a suspect before it runs: if it ends this process too, the log says which image it was."""
        self.metrics.reclaimed.inc()
        for facts in self._log_fields([suspect]):
            log.warning("suspect_taken_over", extra=facts)

    def computed(self, results: Sequence[Result]) -> None:
        """Count a micro-batch, and log each image that failed.

        Call it before the jobs are finished: until then Redis knows whose they are.
        """
        self.metrics.batch_size.observe(len(results))
        self.metrics.attempts.inc(len(results))
        self.metrics.count(result.code or result.state for result in results)
        self._on_results(results)
        failed = [result for result in results if result.state == Status.FAILED]
        if failed:
            fields = self._log_fields([result.entry for result in failed])
            for result, facts in zip(failed, fields, strict=True):
                log.warning("image_failed", extra=facts | {"error_code": result.code, "error": result.error})

    def _log_fields(self, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        """Return for each entry its version, its attempt, and the first prediction that wants it with its batch.

        A log line must not cost a result: if Redis does not answer, whose the entry is is left out.
        """
        try:
            wanted = self._lanes.who_wants(entries)
        except redis.RedisError:
            wanted = {}
        fields = []
        for entry in entries:
            facts: dict[str, Any] = {"version": entry.version, "attempt": entry.attempts}
            if trace := entry.trace or entry.upload_trace:
                facts |= {"trace_id": trace_id(trace), "span_id": span_id(trace)}
            if (who := wanted.get(entry.id)) is not None:
                facts |= {"prediction_id": who.id, "request_id": who.request_id, "batch_id": who.batch}
                facts |= {"others": who.others}
            fields.append(facts)
        return fields
