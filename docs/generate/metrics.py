"""`reference/metrics.md`, from the classes of `shared/observability/metrics`, each made and read as in a scrape."""

import inspect
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from docs.generate.markdown import joined, opening, table
from shared.observability import metrics

INTRODUCTION: Final = """
What each process serves at its `/metrics`, beside its CPU, memory and descriptors. Seconds and bytes; a *counter* only
grows, a *gauge* is a state, a *histogram* has `_bucket`, `_sum` and `_count`. What is read from Redis or Postgres at
each scrape is the same from every replica: take the `max`. [Alerts](alerts.md) are made of them, and
[Watch](../guides/operate/watch.md) says how to scrape them.
"""
_STATE: Final = metrics.QueueState(
    lanes=[metrics.LaneState(model="", lane="", entries=1, bytes=1, oldest=timedelta(0))],
    shadow_entries={},
    workers={"": 1},
    finished=1,
    recorder_lag=timedelta(0),
    memory_used_bytes=1,
    memory_limit_bytes=1,
    redis_cpu_seconds=1.0,
    silence={"": timedelta(0)},
    bells={"": 1},
)
_READ: Final[dict[type, Any]] = {
    metrics.QueueMetrics: lambda: _STATE,
    metrics.DeviceMetrics: lambda: {"total": 1},
    metrics.OverdueMetrics: lambda: timedelta(0),
}
"""What those that read at each scrape are given."""


def page() -> str:
    """Return the page."""
    blocks = opening("Metrics", "`shared/observability/metrics`", INTRODUCTION)
    for kind in map(vars(metrics).get, metrics.__all__):
        if not isinstance(kind, type) or "registry" not in inspect.signature(kind).parameters:
            continue
        rows = [(f"`{name}`", type_, ", ".join(labels), what) for name, type_, labels, what in _families(kind)]
        blocks += [
            f"## {kind.__name__}",
            inspect.cleandoc(kind.__doc__ or ""),
            table(("metric", "type", "labels", "meaning"), rows),
        ]
    return joined(blocks)


def _families(kind: type) -> Iterator[tuple[str, str, list[str], str]]:
    """Go through the metrics of a class: name, type, labels, meaning."""
    registry = CollectorRegistry()
    known = {"registry": registry, "device": "cuda:0", "read": _READ.get(kind)}
    made = kind(**{name: known[name] for name in inspect.signature(kind).parameters})
    for metric in vars(made).values():
        # A metric with labels is shown once it has a value.
        if isinstance(metric, Counter | Gauge | Histogram) and metric._labelnames:  # noqa: SLF001  public nowhere
            metric.labels(*metric._labelnames)  # noqa: SLF001
    for family in registry.collect():
        labels = list(dict.fromkeys(name for sample in family.samples for name in sample.labels if name != "le"))
        name = family.name + "_total" * (family.type == "counter")
        yield name, family.type, labels, family.documentation
