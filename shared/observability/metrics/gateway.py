"""Metrics of the gateway."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.observability.metrics.registry import FAST


class GatewayMetrics:
    """What the gateway counts: requests by route and status, how long they take, submissions by outcome."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "darkroom_http_requests_total",
            "HTTP requests answered, by method, route template and status",
            ["method", "route", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "darkroom_http_request_duration_seconds",
            "Seconds from a request's head to its answer's end; includes `Prefer: wait` and streams",
            ["method", "route"],
            buckets=(*FAST, 30.0, 60.0),
            registry=registry,
        )
        self.in_progress = Gauge(
            "darkroom_http_requests_in_progress", "HTTP requests being answered at this moment", registry=registry
        )
        self.submissions = Counter(
            "darkroom_submissions_total",
            "Images submitted, by outcome: queued, joined (the same image was waiting already), cached, unreadable (an "
            "item of a batch), repeated (the same idempotency key), limited (by the API key) or refused",
            ["model", "outcome"],
            registry=registry,
        )
