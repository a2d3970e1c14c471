"""Metrics that every Celery worker has, whatever its role."""

from prometheus_client import CollectorRegistry, Gauge


class WorkerMetrics:
    """Whether the worker's main loop runs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.heartbeat = Gauge(
            "darkroom_worker_heartbeat_timestamp_seconds",
            "Unix time of this worker's last Celery heartbeat, which it sends every 2 s between tasks",
            registry=registry,
        )
