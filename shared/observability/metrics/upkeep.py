"""Metrics of upkeep workers: their own sweeps, and the queue's state, which every replica reports alike."""

import math
from collections.abc import Callable, Iterator
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import Metric

from shared.observability.metrics.lanes import QueueState
from shared.observability.metrics.registry import ReadAtScrapes, counter, gauge


class UpkeepMetrics:
    """What an upkeep worker counts: when it last swept, and what it dropped from Redis for want of memory."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.swept = Gauge(
            "darkroom_sweep_timestamp_seconds",
            "Unix time of this worker's last sweep; one of the upkeep workers sweeps every 2 s",
            registry=registry,
        )
        self.evicted = Counter(
            "darkroom_evicted_total",
            "Cached outputs and recorded predictions dropped from Redis before their time, for want of memory",
            registry=registry,
        )


class QueueMetrics(ReadAtScrapes):
    """The queue's state, read from Redis at each scrape. Every upkeep worker reports the same."""

    def __init__(self, registry: CollectorRegistry, read: Callable[[], QueueState]) -> None:
        """`read` may raise anything: then `darkroom_queue_visible` is 0 and the other gauges are left out."""
        self._read = read
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Read the queue's state and yield its gauges."""
        try:
            state = self._read()
        except Exception:  # noqa: BLE001  the scrape must show all other metrics; this gauge says that the read failed
            yield gauge("darkroom_queue_visible", "1 where the queue's state could be read, else 0", [({}, 0)])
            return
        yield gauge("darkroom_queue_visible", "1 where the queue's state could be read, else 0", [({}, 1)])
        lanes = [({"model": lane.model, "lane": lane.lane}, lane) for lane in state.lanes]
        yield gauge(
            "darkroom_lane_entries",
            "Images in a lane, waiting or being computed",
            [(labels, lane.entries) for labels, lane in lanes],
        )
        yield gauge(
            "darkroom_lane_bytes",
            "Bytes of memory of a lane, as Redis estimates them",
            [(labels, lane.bytes) for labels, lane in lanes],
        )
        yield gauge(
            "darkroom_lane_oldest_age_seconds",
            "Seconds since the oldest image in a lane was submitted",
            [(labels, lane.oldest.total_seconds()) for labels, lane in lanes],
        )
        yield gauge(
            "darkroom_shadow_lane_entries",
            "Images that the champion has answered and that wait for the model's shadow",
            [({"model": model}, count) for model, count in state.shadow_entries.items()],
        )
        yield gauge(
            "darkroom_workers",
            "Predict workers that are alive, by model",
            [({"model": model}, count) for model, count in state.workers.items()],
        )
        yield gauge("darkroom_finished_entries", "Finished predictions that have no row yet", [({}, state.finished)])
        yield gauge(
            "darkroom_recorder_lag_seconds",
            "Seconds since the end of the oldest prediction that has no row yet",
            [({}, state.recorder_lag.total_seconds())],
        )
        yield gauge(
            "darkroom_role_silence_seconds",
            "Seconds since a role's last sign of life; its workers give one every 2 s",
            [({"role": role}, _seconds(silence)) for role, silence in state.silence.items()],
        )
        yield gauge(
            "darkroom_bells_waiting",
            "Bells (Celery tasks that wake a worker) that no worker has answered, by Celery queue",
            [({"queue": queue}, waiting) for queue, waiting in state.bells.items()],
        )
        yield gauge(
            "darkroom_redis_memory_used_bytes", "Bytes of memory that Redis uses", [({}, state.memory_used_bytes)]
        )
        yield gauge(
            "darkroom_redis_memory_limit_bytes",
            "Redis' maxmemory in bytes; 0: no limit",
            [({}, state.memory_limit_bytes)],
        )
        yield counter(
            "darkroom_redis_cpu_seconds_total",
            "Seconds of CPU that Redis' main thread has used, which executes every command; 1 a second is its limit",
            state.redis_cpu_seconds,
        )


class OverdueMetrics(ReadAtScrapes):
    """Age of the oldest webhook that is due and has not been tried, read from Postgres at each scrape."""

    def __init__(self, registry: CollectorRegistry, read: Callable[[], timedelta]) -> None:
        """`read` returns for how long the oldest has been due; where it raises, the gauge is left out."""
        self._read = read
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Read the age and yield its gauge."""
        try:
            oldest = self._read()
        except Exception:  # noqa: BLE001  the scrape must show all other metrics
            return
        yield gauge(
            "darkroom_webhook_overdue_seconds",
            "Seconds since the oldest webhook that nobody has tried was due",
            [({}, oldest.total_seconds())],
        )


def _seconds(time: timedelta) -> float:
    return math.inf if time == timedelta.max else time.total_seconds()
