"""A process' registry of metrics, and what the metrics of all processes share: buckets, metrics read at scrapes."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets in seconds for what takes milliseconds."""
SLOW: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Buckets in seconds for what may wait in a queue."""
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Buckets in images of a micro-batch."""


def new_registry() -> CollectorRegistry:
    """Return the registry of a process, with its CPU, memory, file descriptors and release in it already."""
    # `_created` series: nothing reads them, and they make every page half as long again.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    build = Gauge("darkroom_build_info", "Always 1; the label says which release runs", ["version"], registry=registry)
    build.labels(version("darkroom")).set(1)
    return registry


class ReadAtScrapes(Collector):
    """A collector whose source is read at scrapes alone, and not when it is registered."""

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry would read the source for the names."""
        return ()


def counter(name: str, help_text: str, value: float) -> Metric:
    """Return a counter without labels that another process has counted; `name` ends in `_total`."""
    return CounterMetricFamily(name, help_text, value=value)


def gauge(name: str, help_text: str, samples: Iterable[tuple[dict[str, str], float]]) -> Metric:
    """Return a gauge with these samples, each its labels and its value."""
    family = GaugeMetricFamily(name, help_text)
    for labels, value in samples:
        family.add_sample(name, labels, value)
    return family
