"""A process reads its own figures from its registry."""

from prometheus_client import CollectorRegistry

from shared.observability.metrics import GatewayMetrics, PredictMetrics, QueueMetrics, QueueState, WebhookMetrics
from shared.observability.process_figures import GROWN, SEPARATOR, VALUES, FigureReader


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(registry: CollectorRegistry) -> tuple[FigureReader, Clock]:
    clock = Clock()
    return FigureReader(registry, monotonic=clock, cpu_seconds=lambda: 0.25 * clock.now), clock


def test_counters_show_their_increase_within_each_window() -> None:
    metrics = GatewayMetrics(CollectorRegistry())
    reader, clock = made(metrics.registry)
    outcome = metrics.submissions.labels("digits", "queued")
    told = []
    for _ in range(20):
        clock.now += 2
        outcome.inc(4)
        told.append(reader.read())
    first, last = told[0]["grown"][10], told[-1]["grown"][10]
    assert first["series"] == {"darkroom_submissions_total": {SEPARATOR.join(("digits", "queued")): 4.0}}
    assert last["seconds"] == 10.0
    assert last["series"]["darkroom_submissions_total"] == {SEPARATOR.join(("digits", "queued")): 20.0}
    assert told[-1]["cores"] == 0.25
    clock.now += 60
    reader.read()
    clock.now += 2
    assert reader.read()["grown"][10]["series"] == {}, "what does not grow is left out"


def test_a_histogram_that_grew_is_shown_with_the_buckets_that_did_not() -> None:
    registry = CollectorRegistry()
    metrics = PredictMetrics(registry)
    reader, clock = made(registry)
    metrics.forward.labels("digits").observe(0.03)
    metrics.forward.labels("idle")
    clock.now += 2
    buckets = reader.read()["grown"][60]["series"]["darkroom_forward_seconds_bucket"]
    assert buckets[f"digits{SEPARATOR}0.025"] == 0.0
    assert buckets[f"digits{SEPARATOR}0.05"] == buckets[f"digits{SEPARATOR}+Inf"] == 1.0
    assert not any(labels.startswith("idle") for labels in buckets)


def test_memory_is_constant_however_long_it_is_read() -> None:
    registry = CollectorRegistry()
    metrics = WebhookMetrics(registry)
    reader, clock = made(registry)
    for _ in range(3000):
        clock.now += 2
        metrics.attempts.labels("delivered").inc()
        told = reader.read()
    assert {len(kept) <= 11 for kept in reader._earlier.values()} == {True}
    assert told["grown"][3600]["series"]["darkroom_webhook_attempts_total"]["delivered"] > 1600


def test_what_is_read_from_redis_at_scrapes_is_not_read() -> None:
    def read() -> QueueState:
        raise AssertionError("nobody scrapes")

    registry = CollectorRegistry()
    QueueMetrics(registry, read)
    made(registry)[0].read()


def test_every_series_that_is_read_is_one_that_some_process_exports() -> None:
    """Names the library's private table too: `_names_to_collectors` is what the reader reaches into."""
    from shared.observability import metrics  # noqa: PLC0415

    registry = CollectorRegistry()
    for kind in (
        *(metrics.GatewayMetrics, metrics.PredictMetrics, metrics.RecordMetrics, metrics.WebhookMetrics),
        *(metrics.UpkeepMetrics, metrics.WorkerMetrics, metrics.PictureMetrics),
    ):
        kind(registry)
    assert {*VALUES, *(name for names in GROWN.values() for name in names)} <= registry._names_to_collectors.keys()
