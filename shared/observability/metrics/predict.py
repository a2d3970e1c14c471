"""Metrics of predict workers."""

from collections import Counter as Counted
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric

from shared.observability.metrics.lanes import BULK, INTERACTIVE
from shared.observability.metrics.registry import FAST, SIZES, SLOW, ReadAtScrapes, gauge


class PredictMetrics:
    """What a predict worker counts: micro-batches and where their time goes, images, versions of models."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def seconds(name: str, help_text: str, *, buckets: Sequence[float] = FAST) -> Histogram:
            return Histogram(f"darkroom_{name}_seconds", help_text, ["model"], buckets=buckets, registry=registry)

        self.batch_size = Histogram(
            "darkroom_batch_size", "Images in a micro-batch", ["model"], buckets=SIZES, registry=registry
        )
        self.queue = Histogram(
            "darkroom_queue_seconds",
            "Seconds from an image's submission to its pull by a worker, by kind of lane",
            ["model", "lane"],
            buckets=SLOW,
            registry=registry,
        )
        self.decode = seconds("decode", "Seconds to decode and resize the images of a micro-batch")
        self.forward = seconds("forward", "Seconds of a micro-batch's forward passes")
        self.finish = seconds("finish", "Seconds to write a micro-batch's results to Redis")
        self.images = Counter(
            "darkroom_images_total",
            "Images computed, by outcome: succeeded, or the error code they failed with",
            ["model", "outcome"],
            registry=registry,
        )
        self.attempts = Counter(
            "darkroom_attempts_total", "Computations begun, repeated ones included", ["model"], registry=registry
        )
        self.reclaimed = Counter(
            "darkroom_reclaimed_total", "Images taken over from a worker that was lost", ["model"], registry=registry
        )
        self.shadow_queued = Counter(
            "darkroom_shadow_queued_total",
            "Images that the champion answered and that were kept for its shadow",
            ["model", "version"],
            registry=registry,
        )
        self.shadow_skipped = Counter(
            "darkroom_shadow_skipped_total",
            "Images of the shadow's share that it does not predict, by reason: lane_full, memory_high, heavy, "
            "not_loaded, results_full",
            ["model", "reason"],
            registry=registry,
        )
        self.shadow_decode = seconds("shadow_decode", "Seconds to decode and resize the images of a shadow's pass")
        self.shadow_forward = seconds("shadow_forward", "Seconds of a shadow's forward pass")
        self.loads = Counter(
            "darkroom_model_loads_total",
            "Attempts to load a model's version, by outcome",
            ["model", "outcome"],
            registry=registry,
        )
        self.unloads = Counter(
            "darkroom_model_unloads_total",
            "Versions unloaded: replaced, or least recently used when memory was short",
            ["model"],
            registry=registry,
        )
        self.memory = Gauge(
            "darkroom_model_memory_bytes",
            "Bytes that a loaded version takes, as estimated: its weights and what its warm-up took",
            ["model", "version"],
            registry=registry,
        )
        self.load_seconds = seconds("model_load", "Seconds to load and warm up a model's version", buckets=SLOW)
        self.serving = Gauge(
            "darkroom_model_version_serving",
            "1 where this worker has the version loaded that the alias names",
            ["model", "alias", "version"],
            registry=registry,
        )
        self.failing = Gauge(
            "darkroom_model_version_failing",
            "1 where an alias names a version that this worker failed to load",
            ["model", "version"],
            registry=registry,
        )
        self.went_back = Gauge(
            "darkroom_champion_went_back",
            "1 where the alias champion names a version that failed too many images, and the one before serves",
            ["model", "version"],
            registry=registry,
        )
        self.canary = Gauge(
            "darkroom_canary",
            "1 for the phase of the model's last canary, and the version that it was of",
            ["model", "version", "phase"],
            registry=registry,
        )
        self.canary_went_back = Gauge(
            "darkroom_canary_went_back",
            "1 for a day from when the model's last canary went back, and the version that it was of",
            ["model", "version"],
            registry=registry,
        )


class ModelMetrics:
    """The metrics of one model, looked up once: a lookup by label costs as much as a count."""

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
        """Count computed images by outcome."""
        for outcome, images in Counted(outcomes).items():
            self._images(outcome).inc(images)


class ShadowMetrics:
    """The metrics of one model's shadow, looked up once."""

    def __init__(self, metrics: PredictMetrics, model: str) -> None:
        self.decode = metrics.shadow_decode.labels(model)
        self.forward = metrics.shadow_forward.labels(model)
        self._queued = partial(metrics.shadow_queued.labels, model)
        self._skipped = partial(metrics.shadow_skipped.labels, model)

    def queue(self, version: str, images: int) -> None:
        """Count images that were kept for a version."""
        if images:
            self._queued(version).inc(images)

    def skip(self, reason: str, images: int) -> None:
        """Count images of the share that are not predicted."""
        if images:
            self._skipped(reason).inc(images)


class DeviceMetrics(ReadAtScrapes):
    """Memory of a predict worker's GPU, read at each scrape; no samples on a CPU."""

    def __init__(self, registry: CollectorRegistry, device: str, read: Callable[[], dict[str, int]]) -> None:
        """`read` returns bytes by kind: `allocated` to tensors, `reserved` by torch, the GPU's `free` and `total`."""
        self._device = device
        self._read = read
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Read the device and yield its gauge."""
        samples = [({"device": self._device, "kind": kind}, amount) for kind, amount in self._read().items()]
        yield gauge(
            "darkroom_device_memory_bytes",
            "Bytes of the GPU's memory: allocated to tensors, reserved by torch in this worker; free, total",
            samples,
        )
