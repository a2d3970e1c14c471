"""Observes recorded predictions: counts them for Prometheus and writes a line each to the prediction log."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from shared.domain.job_request import JobRequest
from shared.observability.metrics import RecordMetrics
from shared.queue.job_records import parse_request
from worker.record.prediction_log import PredictionLog, prediction_line

Record = Mapping[bytes, bytes]


MOST_SERIES: Final = 500
"""Label sets of the predictions' counter; the least recently counted ones end, as those of versions of long ago."""

_Labels = tuple[str, str, str, str, str]


class RecordObserver:
    """Counts and logs; threads may share it. Raises nothing for odd records: they are committed and must be settled."""

    def __init__(self, metrics: RecordMetrics, predictions: PredictionLog | None) -> None:
        self._metrics = metrics
        self._predictions = predictions
        self._series = OrderedDict[_Labels, None]()
        self._lock = threading.Lock()

    def failed(self) -> None:
        """Count a commit that failed."""
        self._metrics.failures.inc()

    def committed(self, records: Sequence[Record], *, seconds: float) -> None:
        """Count predictions whose rows are committed, in `seconds`, and write their log lines."""
        self._metrics.record.observe(seconds)
        ended: Counter[_Labels] = Counter()
        codes: Counter[tuple[str, str]] = Counter()
        lines = []
        for record in records:
            request = _request(record)
            model = str(request.model)
            state, source = _text(record, b"state"), _text(record, b"source")
            labels = (model, str(request.version), str(request.variant), state, source)
            ended[labels] += 1
            if code := _text(record, b"code"):
                codes[model, code] += 1
            took = int(record.get(b"completed") or 0) - int(record.get(b"created") or 0)
            self._metrics.duration.labels(model).observe(max(0, took) / 1_000_000)
            if self._predictions is not None:
                lines.append(prediction_line(record, request))
        for labels, count in ended.items():
            self._count(labels, count)
        for pair, count in codes.items():
            self._metrics.failed.labels(*pair).inc(count)
        if self._predictions is not None:
            self._predictions.write(lines)

    def _count(self, labels: _Labels, count: int) -> None:
        """Count predictions of one label set; end the series that was counted least recently where there are many."""
        with self._lock:
            self._series[labels] = None
            self._series.move_to_end(labels)
            self._metrics.predictions.labels(*labels).inc(count)
            if len(self._series) > MOST_SERIES:
                oldest, _ = self._series.popitem(last=False)
                self._metrics.predictions.remove(*oldest)


def _request(record: Record) -> JobRequest:
    """Return the job's request; an empty one if it can't be read, as in a record stored without its text."""
    try:
        return parse_request(record.get(b"request", b""))
    except (AttributeError, KeyError, TypeError, ValueError):
        return JobRequest.read({})


def _text(record: Record, name: bytes) -> str:
    return record.get(name, b"").decode(errors="replace")
