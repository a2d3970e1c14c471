"""Metrics of record workers."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.observability.metrics.registry import FAST, SLOW


class RecordMetrics:
    """What a record worker counts: each finished prediction when its row is committed, and once more after a crash."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.predictions = Counter(
            "darkroom_predictions_total",
            "Predictions finished and recorded in Postgres; series of versions of long ago end",
            ["model", "version", "variant", "status", "source"],
            registry=registry,
        )
        self.failed = Counter(
            "darkroom_predictions_failed_total",
            "Predictions that failed or missed their deadline, by error code",
            ["model", "code"],
            registry=registry,
        )
        self.shadow = Counter(
            "darkroom_shadow_predictions_total",
            "Shadow predictions recorded in Postgres, by whether they agree with the champion's: yes, no, or unknown",
            ["model", "version", "status", "agrees"],
            registry=registry,
        )
        self.duration = Histogram(
            "darkroom_prediction_duration_seconds",
            "Seconds from a prediction's submission to its end",
            ["model"],
            buckets=SLOW,
            registry=registry,
        )
        self.computing = Histogram(
            "darkroom_prediction_computing_seconds",
            "Seconds from an image's pull by a worker to its prediction's end; series of versions of long ago end",
            ["model", "version"],
            buckets=FAST,
            registry=registry,
        )
        self.record = Histogram(
            "darkroom_record_seconds",
            "Seconds to commit a set of finished predictions to Postgres",
            buckets=FAST,
            registry=registry,
        )
        self.failures = Counter(
            "darkroom_record_failures_total", "Commits that Postgres refused; they are repeated", registry=registry
        )
