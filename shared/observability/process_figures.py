"""Reads the few figures of a process that are published: from its own registry, without a scrape.

Collecting what is named costs 0.1 to 1 ms every few seconds; nothing is added to what counts. For each window, eleven
earlier readings of its counters are kept: memory is constant.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

SEPARATOR: Final = "\x1f"
"""As in shared.domain.status.process_figures; a test holds them equal."""
VALUES: Final = (
    "darkroom_champion_went_back",
    "darkroom_canary_went_back",
    "darkroom_http_requests_in_progress",
    "darkroom_model_version_failing",
    "darkroom_shadow_predictions_total",
    "darkroom_shadow_skipped_total",
    "darkroom_sweep_timestamp_seconds",
    "darkroom_worker_heartbeat_timestamp_seconds",
)
"""Series whose value counts."""
GROWN: Final[Mapping[int, tuple[str, ...]]] = {
    10: (
        "darkroom_batch_size_count",
        "darkroom_batch_size_sum",
        "darkroom_forward_seconds_sum",
        "darkroom_http_requests_total",
        "darkroom_images_total",
        "darkroom_predictions_total",
        "darkroom_submissions_total",
        "darkroom_webhook_attempts_total",
    ),
    60: (
        "darkroom_forward_seconds_bucket",
        "darkroom_prediction_duration_seconds_bucket",
        "darkroom_queue_seconds_bucket",
    ),
    120: ("darkroom_record_failures_total",),
    300: ("darkroom_http_requests_total",),
    600: ("darkroom_predictions_failed_total", "darkroom_predictions_total"),
    900: (
        "darkroom_pictures_total",
        "darkroom_shadow_predictions_total",
        "darkroom_shadow_skipped_total",
        "darkroom_webhook_attempts_total",
    ),
    3600: ("darkroom_webhook_attempts_total",),
}
"""Counters whose increase counts, by the window in seconds: rates, percentiles, and the windows of alerts."""
_WANTED: Final = frozenset(VALUES).union(*GROWN.values())
_STEPS: Final = 10
"""Readings in a window: its true length is known to a tenth."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

Flat = dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    values: Flat = field(default_factory=dict)


class FigureReader:
    """Reads a process' figures; `read` is called every few seconds, from one thread at a time."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        cpu_seconds: Callable[[], float] = time.process_time,
    ) -> None:
        self._registry = registry
        self._monotonic, self._cpu_seconds = monotonic, cpu_seconds
        self._began = monotonic()
        # Counters begin at 0 with the process.
        self._earlier = {window: deque([_Reading(self._began)], maxlen=_STEPS + 1) for window in GROWN}
        self._cpu: deque[tuple[float, float]] = deque([(self._began, cpu_seconds())], maxlen=_STEPS)

    def read(self) -> dict[str, Any]:
        """Return `up_seconds`, `cores`, `memory_bytes`, `values` and `grown` of ProcessFigures."""
        now, found = self._monotonic(), self._collect()
        return {
            "up_seconds": round(now - self._began, 1),
            "cores": self._cores(now),
            "memory_bytes": resident_bytes(),
            "values": _by_name({series: value for series, value in found.items() if series[0] in VALUES}),
            "grown": {window: self._growth(window, now, found) for window in GROWN},
        }

    def _collect(self) -> Flat:
        """Return all series that are wanted. Those that are read at scrapes, from Redis or a GPU, are not read."""
        # The public restricted_registry would also collect those that describe nothing, which are just these.
        named = self._registry._names_to_collectors  # noqa: SLF001  a test names it
        return {
            (sample.name, SEPARATOR.join(sample.labels.values())): sample.value
            for collector in {named[name] for name in _WANTED if name in named}
            for family in collector.collect()
            for sample in family.samples
            if sample.name in _WANTED
        }

    def _growth(self, window: int, now: float, found: Flat) -> dict[str, Any]:
        """Return a window's Growth, and keep this reading where the last one that is kept is old enough."""
        names, earlier = GROWN[window], self._earlier[window]
        while len(earlier) > 1 and now - earlier[0].at > window:
            earlier.popleft()
        base = earlier[0]
        current = {series: value for series, value in found.items() if series[0] in names}
        grown = {series: value - base.values.get(series, 0.0) for series, value in current.items()}
        # A histogram that grew is shown whole: where a bucket begins is told by the one before it.
        grown = {series: increase for series, increase in grown.items() if grown.get(_whole(series), increase) > 0}
        if now - earlier[-1].at >= window / _STEPS:
            earlier.append(_Reading(now, current))
        return {"seconds": round(now - base.at, 3), "series": _by_name(grown)}

    def _cores(self, now: float) -> float | None:
        used = self._cpu_seconds()
        began, before = self._cpu[0]
        self._cpu.append((now, used))
        return round((used - before) / (now - began), 3) if now > began else None


def resident_bytes() -> int | None:
    """Return the memory that this process has in use; None where the kernel does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None


def _whole(series: tuple[str, str]) -> tuple[str, str]:
    """Return the series that says whether this one grew: of a bucket the last, which counts all, else itself."""
    name, labels = series
    if not name.endswith("_bucket"):
        return series
    others, separator, _ = labels.rpartition(SEPARATOR)
    return name, f"{others}{separator}+Inf"


def _by_name(flat: Flat) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for (name, labels), value in flat.items():
        found.setdefault(name, {})[labels] = value
    return found
