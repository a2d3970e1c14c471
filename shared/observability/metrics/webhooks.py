"""Metrics of webhook workers."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.observability.metrics.registry import SLOW


class WebhookMetrics:
    """What a webhook worker counts: attempts to call a receiver, by outcome, and how long they take."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "darkroom_webhook_attempts_total",
            "Attempts to deliver a webhook, by outcome: delivered, pending (another attempt follows) or exhausted",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("delivered", "pending", "exhausted"):
            self.attempts.labels(outcome)  # a series begins at 0, or its first count would not show in a rate
        self.seconds = Histogram(
            "darkroom_webhook_attempt_seconds",
            "Seconds of one attempt, from looking up the name to the end of the answer",
            buckets=SLOW,
            registry=registry,
        )
