"""The series that Darkroom's processes export, with their labels, and the series that a PromQL expression names."""

import inspect
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.observability import metrics

# Labels that Prometheus adds to every scraped series, and series that it makes itself.
ADDED = frozenset({"job", "instance"})
OWN = {"up": frozenset[str]()}

QUEUE = metrics.QueueState(
    lanes=[metrics.LaneState(model="digits", lane="bulk", entries=1, bytes=1, oldest=timedelta(seconds=1))],
    shadow_entries={"digits": 3},
    workers={"digits": 1},
    finished=1,
    recorder_lag=timedelta(seconds=1),
    memory_used_bytes=1,
    memory_limit_bytes=2,
    redis_cpu_seconds=1.0,
    silence={"record": timedelta(seconds=1), "webhooks": timedelta.max},
    bells={"record": 1},
)
# Constructor arguments of metrics that are read at each scrape, by class.
READINGS: dict[str, Any] = {
    "QueueMetrics": lambda: QUEUE,
    "DeviceMetrics": lambda: {"allocated": 1},
    "OverdueMetrics": lambda: timedelta(0),
}


@cache
def classes() -> list[type]:
    """Every class that a process makes with its registry."""
    found = [
        kind
        for _, kind in inspect.getmembers(metrics, inspect.isclass)
        if kind.__module__.startswith(f"{metrics.__name__}.")
    ]
    return [kind for kind in found if "registry" in inspect.signature(kind).parameters]


def filled(kind: type) -> CollectorRegistry:
    """A registry with this class's metrics, each of them with one sample."""
    registry = CollectorRegistry()
    known = {"registry": registry, "device": "cuda:0", "read": READINGS.get(kind.__name__)}
    made = kind(**{name: known[name] for name in inspect.signature(kind).parameters})
    for metric in vars(made).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            one = metric.labels(*metric._labelnames) if metric._labelnames else metric
            one.observe(1) if isinstance(one, Histogram) else one.inc()
    return registry


@cache
def exported() -> dict[str, frozenset[str]]:
    """Labels by the name of each series that Darkroom exports."""
    return {
        sample.name: frozenset(sample.labels)
        for kind in classes()
        for family in filled(kind).collect()
        for sample in family.samples
    }


def series(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Go through the series that an expression names: name, and value by label."""
    for name, matchers in re.findall(r'\b(darkroom[_:][\w:]+|up\b)(?:\{((?:"[^"]*"|[^}"])*)\})?', expression):
        yield name, dict(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', matchers))
