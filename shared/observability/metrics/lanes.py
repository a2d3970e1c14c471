"""The queue's state as its metrics are given it: one value a kind of lane, one for all of Redis."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

INTERACTIVE: Final = "interactive"
BULK: Final = "bulk"
"""The kinds of lane, which are the values of the label `lane`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneState:
    """One kind of lane of one model: `interactive`, or `bulk`, all batches together."""

    model: str
    lane: str
    entries: int
    bytes: int
    """As Redis estimates it."""
    oldest: timedelta
    """Age of the oldest entry, waiting or being computed; zero where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """Snapshot of what Redis holds."""

    lanes: Sequence[LaneState]
    shadow_entries: dict[str, int]
    """Images that wait for a model's shadow, by model."""
    workers: dict[str, int]
    """Live predict workers by model, for every model that has a route."""
    finished: int
    """Finished predictions that are not in Postgres yet."""
    recorder_lag: timedelta
    """How long the oldest of them has waited."""
    memory_used_bytes: int
    memory_limit_bytes: int
    """Redis' `maxmemory`; zero: no limit."""
    redis_cpu_seconds: float
    """CPU time of Redis' main thread, which executes every command, since Redis started."""
    silence: dict[str, timedelta]
    """Time since the last sign of life by role, but for predict workers; timedelta.max where there never was one."""
    bells: dict[str, int]
    """Bells that no worker has answered, by Celery queue."""
