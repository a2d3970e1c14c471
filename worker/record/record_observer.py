"""Observes recorded predictions: counts them for Prometheus and writes a line each to the prediction log."""

import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Final

from prometheus_client import Histogram

from shared.domain.prediction import Source
from shared.observability.metrics import RecordMetrics
from shared.storage.recording import Record
from worker.record.ended import Ended
from worker.record.prediction_log import PredictionLog, prediction_line
from worker.record.record_tracing import RecordTracing

MOST_SERIES: Final = 500
"""Label sets of the predictions' counter; the least recently counted ones end, as those of versions of long ago."""

MOST_VERSIONS: Final = 100
"""The same for the histogram of each version, which has 17 series."""

_Labels = tuple[str, str, str, str, str]
_Version = tuple[str, str]
"""A model's name and a version's number."""


class RecordObserver:
    """Counts and logs; threads may share it. Raises nothing for odd records: they are committed and must be settled."""

    def __init__(
        self, metrics: RecordMetrics, predictions: PredictionLog | None, tracing: RecordTracing | None = None
    ) -> None:
        self._metrics = metrics
        self._predictions = predictions
        self._tracing = tracing
        self._series = OrderedDict[_Labels, None]()
        self._versions = OrderedDict[_Version, None]()
        self._lock = threading.Lock()

    def failed(self) -> None:
        """Count a commit that failed."""
        self._metrics.failures.inc()

    def committed(self, records: Sequence[Record], *, seconds: float) -> None:
        """Count predictions whose rows are committed, in `seconds`, and write their log lines."""
        self._metrics.record.observe(seconds)
        ended: Counter[_Labels] = Counter()
        codes: Counter[tuple[str, str]] = Counter()
        # Durations are gathered, so that each histogram is looked up once a commit: a lookup costs as much as a count.
        durations = defaultdict[str, list[float]](list)
        computing = defaultdict[_Version, list[float]](list)
        predictions = [Ended.read(record) for record in records]
        for one in predictions:
            model, version = str(one.request.model), str(one.request.version)
            ended[model, version, str(one.request.variant), one.state or "", one.source or ""] += 1
            if one.code:
                codes[model, one.code] += 1
            durations[model].append(max(0, one.completed - one.created) / 1_000_000)
            if one.started and one.source == Source.MODEL:
                computing[model, version].append(max(0, one.completed - one.started) / 1_000_000)
        for labels, count in ended.items():
            self._count(labels, count)
        for name, seconds_each in durations.items():
            _observe(self._metrics.duration.labels(name), seconds_each)
        for of_version, seconds_each in computing.items():
            self._observe_version(of_version, seconds_each)
        for pair, count in codes.items():
            self._metrics.failed.labels(*pair).inc(count)
        if self._predictions is not None:
            self._predictions.write([prediction_line(one) for one in predictions])
        if self._tracing is not None:
            self._tracing.committed(predictions, seconds=seconds)

    def _count(self, labels: _Labels, count: int) -> None:
        """Count predictions of one label set; end the series that was counted least recently where there are many."""
        with self._lock:
            self._series[labels] = None
            self._series.move_to_end(labels)
            self._metrics.predictions.labels(*labels).inc(count)
            if len(self._series) > MOST_SERIES:
                oldest, _ = self._series.popitem(last=False)
                self._metrics.predictions.remove(*oldest)

    def _observe_version(self, version: _Version, seconds_each: Sequence[float]) -> None:
        """Observe the computing of a version's predictions; end the histogram of the one seen least recently."""
        with self._lock:
            self._versions[version] = None
            self._versions.move_to_end(version)
            _observe(self._metrics.computing.labels(*version), seconds_each)
            if len(self._versions) > MOST_VERSIONS:
                oldest, _ = self._versions.popitem(last=False)
                self._metrics.computing.remove(*oldest)


def _observe(histogram: Histogram, values: Sequence[float]) -> None:
    for value in values:
        histogram.observe(value)
