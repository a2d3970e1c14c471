"""What a recorder tells of the predictions it committed: counted for Prometheus, a line each for the prediction log."""

from collections import Counter
from collections.abc import Mapping, Sequence

from shared.domain.job_request import JobRequest
from shared.observability.metrics import RecordMetrics
from shared.queue.job_records import parse_request
from worker.record.prediction_log import PredictionLog, line

Record = Mapping[bytes, bytes]


class RecordObserver:
    """Counts and logs; threads may share it. Nothing it meets may keep a committed record from being settled."""

    def __init__(self, metrics: RecordMetrics, predictions: PredictionLog | None) -> None:
        self._metrics = metrics
        self._predictions = predictions

    def failed(self) -> None:
        """Count a commit that Postgres did not take."""
        self._metrics.failures.inc()

    def committed(self, records: Sequence[Record], *, seconds: float) -> None:
        """Count predictions that have their rows, and write their lines."""
        self._metrics.record.observe(seconds)
        ended: Counter[tuple[str, str, str, str]] = Counter()
        codes: Counter[tuple[str, str]] = Counter()
        lines = []
        for record in records:
            request = _request(record)
            model = str(request.model)
            words = (model, str(request.version), _word(record, b"state"), _word(record, b"source"))
            ended[words] += 1
            if code := _word(record, b"code"):
                codes[model, code] += 1
            took = int(record.get(b"completed") or 0) - int(record.get(b"created") or 0)
            self._metrics.duration.labels(model).observe(max(0, took) / 1_000_000)
            if self._predictions is not None:
                lines.append(line(record, request))
        for labels, count in ended.items():
            self._metrics.predictions.labels(*labels).inc(count)
        for pair, count in codes.items():
            self._metrics.failed.labels(*pair).inc(count)
        if self._predictions is not None:
            self._predictions.write(lines)


def _request(record: Record) -> JobRequest:
    """Return what was submitted; an empty request where it can't be read, as of a record stored without its text."""
    try:
        return parse_request(record.get(b"request", b""))
    except (AttributeError, KeyError, TypeError, ValueError):
        return JobRequest.read({})


def _word(record: Record, name: bytes) -> str:
    return record.get(name, b"").decode(errors="replace")
