"""Every metric that Darkroom exports, a file for each kind of process: names, labels, units and meaning.

The names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/): seconds and bytes, counters end
in `_total`. A process makes each of its classes once, with the registry that its `/metrics` serves.
"""

from shared.observability.metrics.gateway import GatewayMetrics
from shared.observability.metrics.lanes import BULK, INTERACTIVE, LaneState, QueueState
from shared.observability.metrics.pictures import PictureMetrics, StoredPictureMetrics
from shared.observability.metrics.predict import DeviceMetrics, ModelMetrics, PredictMetrics, ShadowMetrics
from shared.observability.metrics.record import RecordMetrics
from shared.observability.metrics.registry import new_registry
from shared.observability.metrics.upkeep import OverdueMetrics, QueueMetrics, UpkeepMetrics
from shared.observability.metrics.webhooks import WebhookMetrics
from shared.observability.metrics.worker import WorkerMetrics

__all__ = [
    "BULK",
    "INTERACTIVE",
    "DeviceMetrics",
    "GatewayMetrics",
    "LaneState",
    "ModelMetrics",
    "OverdueMetrics",
    "PictureMetrics",
    "PredictMetrics",
    "QueueMetrics",
    "QueueState",
    "RecordMetrics",
    "ShadowMetrics",
    "StoredPictureMetrics",
    "UpkeepMetrics",
    "WebhookMetrics",
    "WorkerMetrics",
    "new_registry",
]
