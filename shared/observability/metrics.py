"""Every metric that Darkroom exports, by the process that exports it: names, labels, units and meaning.

The names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/): seconds and bytes, counters end
in `_total`. Each class is made once a process, with the registry that its `/metrics` shows.
"""

import math
from collections import Counter as Counted
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: of what takes milliseconds."""
SLOW: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds: of what may wait for its turn."""
INTERACTIVE: Final = "interactive"
BULK: Final = "bulk"
"""The kinds of lane."""
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def new_registry() -> CollectorRegistry:
    """Return the registry of a process, with its CPU, memory and descriptors in it already."""
    # When each series began, which nothing reads and which makes every page half as long again.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    build = Gauge("darkroom_build_info", "Always 1; the label is the release", ["version"], registry=registry)
    build.labels(version("darkroom")).set(1)
    return registry


class GatewayMetrics:
    """The api: who asks for what, how it is answered, and how long that takes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "darkroom_http_requests_total",
            "Requests answered, by the route's template",
            ["method", "route", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "darkroom_http_request_duration_seconds",
            "From a request's head to its answer's end; `Prefer: wait` and streams wait inside it",
            ["method", "route"],
            buckets=(*FAST, 30.0, 60.0),
            registry=registry,
        )
        self.in_progress = Gauge(
            "darkroom_http_requests_in_progress", "Requests that are being answered", registry=registry
        )
        self.submissions = Counter(
            "darkroom_submissions_total",
            "Images submitted: queued, joined (the same image was waiting already), cached, unreadable (a "
            "batch's item), repeated, limited (by the key) or refused",
            ["model", "outcome"],
            registry=registry,
        )


class PredictMetrics:
    """A predict worker: batches, and where their time goes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def seconds(name: str, what: str, *, buckets: Sequence[float] = FAST) -> Histogram:
            return Histogram(f"darkroom_{name}_seconds", what, ["model"], buckets=buckets, registry=registry)

        self.batch_size = Histogram(
            "darkroom_batch_size", "Images of a micro-batch", ["model"], buckets=SIZES, registry=registry
        )
        self.queue = Histogram(
            "darkroom_queue_seconds",
            "From an image's submission to its pull by a worker, by kind of lane",
            ["model", "lane"],
            buckets=SLOW,
            registry=registry,
        )
        self.decode = seconds("decode", "A batch's images decoded and resized")
        self.forward = seconds("forward", "A batch's forward passes")
        self.finish = seconds("finish", "A batch's results written to Redis")
        self.images = Counter(
            "darkroom_images_total",
            "Images computed: succeeded, or the code they failed with",
            ["model", "outcome"],
            registry=registry,
        )
        self.attempts = Counter(
            "darkroom_attempts_total", "Computations begun, repeated ones included", ["model"], registry=registry
        )
        self.reclaimed = Counter(
            "darkroom_reclaimed_total", "Images taken over from a worker that was gone", ["model"], registry=registry
        )
        self.loads = Counter(
            "darkroom_model_loads_total", "Versions loaded, or failed to", ["model", "outcome"], registry=registry
        )
        self.load_seconds = seconds("model_load", "A version loaded and warmed up", buckets=SLOW)
        self.serving = Gauge(
            "darkroom_model_version_serving",
            "1 where this worker has the version an alias names loaded",
            ["model", "alias", "version"],
            registry=registry,
        )
        self.failing = Gauge(
            "darkroom_model_version_failing",
            "1 where an alias names a version that this worker can't load",
            ["model", "version"],
            registry=registry,
        )


class ModelMetrics:
    """What one model's predictor observes: looked up once, since a label costs as much as a count."""

    def __init__(self, metrics: PredictMetrics, model: str) -> None:
        self.batch_size = metrics.batch_size.labels(model)
        self.queue = {lane: metrics.queue.labels(model, lane) for lane in (INTERACTIVE, BULK)}
        self.decode = metrics.decode.labels(model)
        self.forward = metrics.forward.labels(model)
        self.finish = metrics.finish.labels(model)
        self.attempts = metrics.attempts.labels(model)
        self.reclaimed = metrics.reclaimed.labels(model)
        self._images = partial(metrics.images.labels, model)

    def count(self, outcomes: Iterable[str]) -> None:
        """Count computed images by how they ended."""
        for outcome, images in Counted(outcomes).items():
            self._images(outcome).inc(images)


class DeviceMetrics(Collector):
    """A predict worker's GPU, looked at when somebody asks; nothing on a CPU."""

    def __init__(self, registry: CollectorRegistry, device: str, look: Callable[[], dict[str, int]]) -> None:
        """`look` returns bytes by kind: `allocated` to tensors, `reserved` by torch, and the device's `total`."""
        self._device = device
        self._look = look
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Say nothing yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Take one look."""
        samples = [({"device": self._device, "kind": kind}, amount) for kind, amount in self._look().items()]
        yield _gauge("darkroom_device_memory_bytes", "Memory of the GPU: allocated, reserved, total", samples)


class RecordMetrics:
    """A record worker: every prediction that ended, counted when its row is committed (again after a crash)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.predictions = Counter(
            "darkroom_predictions_total",
            "Predictions that ended and are recorded",
            ["model", "version", "status", "source"],
            registry=registry,
        )
        self.failed = Counter(
            "darkroom_predictions_failed_total",
            "Predictions that failed or passed their deadline, by error code",
            ["model", "code"],
            registry=registry,
        )
        self.duration = Histogram(
            "darkroom_prediction_duration_seconds",
            "From a prediction's submission to its end",
            ["model"],
            buckets=SLOW,
            registry=registry,
        )
        self.record = Histogram(
            "darkroom_record_seconds", "Commits of finished predictions to Postgres", buckets=FAST, registry=registry
        )
        self.failures = Counter(
            "darkroom_record_failures_total", "Commits that Postgres did not take; they are repeated", registry=registry
        )


class UpkeepMetrics:
    """An upkeep worker: that sweeps come, which beat calls for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.swept = Gauge(
            "darkroom_sweep_timestamp_seconds",
            "When this worker last swept, which any of them does every 2 s",
            registry=registry,
        )
        self.evicted = Counter(
            "darkroom_evicted_total",
            "Cached outputs and recorded predictions dropped from Redis before their time, for want of memory",
            registry=registry,
        )


class WebhookMetrics:
    """A webhook worker: attempts to tell people's servers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "darkroom_webhook_attempts_total",
            "Attempts: delivered, pending (there will be another), or exhausted",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("delivered", "pending", "exhausted"):
            self.attempts.labels(outcome)  # a rate needs to have seen 0
        self.seconds = Histogram(
            "darkroom_webhook_attempt_seconds",
            "One attempt, from the name's lookup to the answer",
            buckets=SLOW,
            registry=registry,
        )


class WorkerMetrics:
    """Any Celery worker: that its main loop turns."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.heartbeat = Gauge(
            "darkroom_worker_heartbeat_timestamp_seconds",
            "When this worker last sent Celery's heartbeat, which it does every 2 s between tasks",
            registry=registry,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneState:
    """One kind of lane of one model: `interactive`, or `bulk`, all batches together."""

    model: str
    lane: str
    entries: int
    bytes: int
    """As Redis estimates it."""
    oldest: timedelta
    """How long the oldest entry has been there, computed or not; zero where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """What Redis holds, at one look."""

    lanes: Sequence[LaneState]
    workers: dict[str, int]
    """Live predict workers by model, for every model that has a route."""
    finished: int
    """Records that are not in Postgres yet."""
    recorder_lag: timedelta
    """How long the oldest of them has waited."""
    memory_used_bytes: int
    memory_limit_bytes: int
    """Zero: none."""
    silence: dict[str, timedelta]
    """By role beside predicting: since its last sign of life, timedelta.max where there never was one."""
    bells: dict[str, int]
    """Calls that no worker has answered, by Celery queue."""


class QueueMetrics(Collector):
    """An upkeep worker: the queue's state, looked at when somebody asks. Every replica says the same."""

    def __init__(self, registry: CollectorRegistry, look: Callable[[], QueueState]) -> None:
        """`look` may raise anything: then nothing is said of the queue but that it could not be seen."""
        self._look = look
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Say nothing yet: a look at Redis is due only when somebody asks."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Take one look."""
        try:
            state = self._look()
        except Exception:  # noqa: BLE001  a scrape must show what else there is; the gauge says that this part failed
            yield _gauge("darkroom_queue_visible", "1 where the queue could be looked at", [({}, 0)])
            return
        yield _gauge("darkroom_queue_visible", "1 where the queue could be looked at", [({}, 1)])
        lanes = [({"model": lane.model, "lane": lane.lane}, lane) for lane in state.lanes]
        yield _gauge(
            "darkroom_lane_entries",
            "Images that wait or are being computed",
            [(labels, lane.entries) for labels, lane in lanes],
        )
        yield _gauge(
            "darkroom_lane_bytes",
            "Memory of a lane, as Redis estimates it",
            [(labels, lane.bytes) for labels, lane in lanes],
        )
        yield _gauge(
            "darkroom_lane_oldest_age_seconds",
            "Since the oldest image in a lane was submitted",
            [(labels, lane.oldest.total_seconds()) for labels, lane in lanes],
        )
        yield _gauge(
            "darkroom_workers",
            "Predict workers that gave a sign of life",
            [({"model": model}, count) for model, count in state.workers.items()],
        )
        yield _gauge("darkroom_finished_entries", "Predictions that ended and have no row yet", [({}, state.finished)])
        yield _gauge(
            "darkroom_recorder_lag_seconds",
            "Since the end of the oldest prediction that has no row yet",
            [({}, state.recorder_lag.total_seconds())],
        )
        yield _gauge(
            "darkroom_role_silence_seconds",
            "Since a role's last sign of life; its workers give one every 2 s",
            [({"role": role}, _seconds(silence)) for role, silence in state.silence.items()],
        )
        yield _gauge(
            "darkroom_bells_waiting",
            "Calls that no worker has answered, by Celery queue",
            [({"queue": queue}, waiting) for queue, waiting in state.bells.items()],
        )
        yield _gauge("darkroom_redis_memory_used_bytes", "Memory that Redis uses", [({}, state.memory_used_bytes)])
        yield _gauge(
            "darkroom_redis_memory_limit_bytes", "Redis' maxmemory; 0 is none", [({}, state.memory_limit_bytes)]
        )


class OverdueMetrics(Collector):
    """An upkeep worker: webhooks that are due and that nobody has tried, looked at when somebody asks."""

    def __init__(self, registry: CollectorRegistry, look: Callable[[], timedelta]) -> None:
        """`look` returns for how long the oldest has been due; where it raises, nothing is said."""
        self._look = look
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Say nothing yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Take one look."""
        try:
            oldest = self._look()
        except Exception:  # noqa: BLE001  a scrape must show what else there is
            return
        yield _gauge(
            "darkroom_webhook_overdue_seconds",
            "Since the oldest webhook that nobody has tried was due",
            [({}, oldest.total_seconds())],
        )


def _seconds(time: timedelta) -> float:
    return math.inf if time == timedelta.max else time.total_seconds()


def _gauge(name: str, what: str, samples: Iterable[tuple[dict[str, str], float]]) -> Metric:
    """Return a gauge with these samples."""
    family = GaugeMetricFamily(name, what)
    for labels, value in samples:
        family.add_sample(name, labels, value)
    return family
