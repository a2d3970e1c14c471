"""Observes recorded predictions: counts them for Prometheus and writes a line each to the prediction log."""

from collections import Counter
from collections.abc import Mapping, Sequence

from shared.domain.job_request import JobRequest
from shared.observability.metrics import RecordMetrics
from shared.queue.job_records import parse_request
from worker.record.prediction_log import PredictionLog, prediction_line

Record = Mapping[bytes, bytes]


class RecordObserver:
    """Counts and logs; threads may share it. Raises nothing for odd records: they are committed and must be settled."""

    def __init__(self, metrics: RecordMetrics, predictions: PredictionLog | None) -> None:
        self._metrics = metrics
        self._predictions = predictions

    def failed(self) -> None:
        """Count a commit that failed."""
        self._metrics.failures.inc()

    def committed(self, records: Sequence[Record], *, seconds: float) -> None:
        """Count predictions whose rows are committed, in `seconds`, and write their log lines."""
        self._metrics.record.observe(seconds)
        ended: Counter[tuple[str, str, str, str]] = Counter()
        codes: Counter[tuple[str, str]] = Counter()
        lines = []
        for record in records:
            request = _request(record)
            model = str(request.model)
            labels = (model, str(request.version), _text(record, b"state"), _text(record, b"source"))
            ended[labels] += 1
            if code := _text(record, b"code"):
                codes[model, code] += 1
            took = int(record.get(b"completed") or 0) - int(record.get(b"created") or 0)
            self._metrics.duration.labels(model).observe(max(0, took) / 1_000_000)
            if self._predictions is not None:
                lines.append(prediction_line(record, request))
        for labels, count in ended.items():
            self._metrics.predictions.labels(*labels).inc(count)
        for pair, count in codes.items():
            self._metrics.failed.labels(*pair).inc(count)
        if self._predictions is not None:
            self._predictions.write(lines)


def _request(record: Record) -> JobRequest:
    """Return the job's request; an empty one if it can't be read, as in a record stored without its text."""
    try:
        return parse_request(record.get(b"request", b""))
    except (AttributeError, KeyError, TypeError, ValueError):
        return JobRequest.read({})


def _text(record: Record, name: bytes) -> str:
    return record.get(name, b"").decode(errors="replace")
