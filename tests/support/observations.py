"""Metrics objects for tests that do not read them."""

from prometheus_client import CollectorRegistry

from shared.observability.metrics import (
    ModelMetrics,
    PredictMetrics,
    RecordMetrics,
    ShadowMetrics,
    UpkeepMetrics,
    WebhookMetrics,
)
from shared.queue.consumer.lanes import Lanes
from worker.predict.batch_observer import BatchObserver
from worker.record.prediction_log import PredictionLog
from worker.record.record_observer import RecordObserver


def observer(lanes: Lanes, registry: CollectorRegistry | None = None) -> BatchObserver:
    """Observe a model named `m`."""
    return BatchObserver(lanes, ModelMetrics(PredictMetrics(registry or CollectorRegistry()), "m"))


def predict_metrics() -> PredictMetrics:
    """Count what nobody reads."""
    return PredictMetrics(CollectorRegistry())


def shadow_metrics(registry: CollectorRegistry | None = None) -> ShadowMetrics:
    """Count for a model named `m`."""
    return ShadowMetrics(PredictMetrics(registry or CollectorRegistry()), "m")


def record_metrics(registry: CollectorRegistry | None = None) -> RecordMetrics:
    """Count what a recorder counts."""
    return RecordMetrics(registry or CollectorRegistry())


def record_observer(log: PredictionLog | None = None) -> RecordObserver:
    """Count what nobody reads."""
    return RecordObserver(RecordMetrics(CollectorRegistry()), log)


def upkeep_metrics() -> UpkeepMetrics:
    """Show what nobody reads."""
    return UpkeepMetrics(CollectorRegistry())


def webhook_metrics() -> WebhookMetrics:
    """Count what nobody reads."""
    return WebhookMetrics(CollectorRegistry())
