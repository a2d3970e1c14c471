"""The queue's state for metrics: lanes, workers, roles, the finished stream and memory."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import redis

from shared.domain.identifiers import ModelName
from shared.observability.metrics import BULK, INTERACTIVE, LaneState, QueueState
from shared.queue import keys, model_routes
from shared.queue.inspection import duties
from shared.queue.lane_streams import streams
from shared.queue.lua import Script, Scripts
from shared.queue.server_clock import server_time_us

WORKER_SEEN: Final = timedelta(seconds=10)
"""A predict worker without a sign of life for so long is not counted; workers give one every 2 s."""
# Measuring a lane copies its oldest image inside Redis; nothing of it is sent.
LANES_AT_ONCE: Final = 20


class Gauges:
    """Reads the queue's state through one blocking client; raises the client's errors."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._scripts = Scripts(client)

    def read(self) -> QueueState:
        """Return the state now."""
        models = model_routes.names(self._client)
        memory = self._client.info("memory")
        roles = duties.read_duties(self._client)
        predict = {keys.predict_queue(model): int(self._client.llen(keys.predict_queue(model))) for model in models}
        return QueueState(
            lanes=[state for model in models for state in self.lanes(model)],
            shadow_entries={model: int(self._client.xlen(keys.shadow_lane(model))) for model in models},
            workers={model: self.workers(model) for model in models},
            finished=int(self._client.xlen(keys.FINISHED)),
            recorder_lag=self._recorder_lag(),
            memory_used_bytes=int(memory["used_memory"]),
            memory_limit_bytes=int(memory.get("maxmemory", 0)),
            redis_cpu_seconds=self._cpu_seconds(),
            silence={duty.role: timedelta.max if duty.silence is None else duty.silence for duty in roles},
            bells=predict | {duty.role: duty.bells for duty in roles},
        )

    def lanes(self, model: ModelName) -> Iterator[LaneState]:
        """Give the interactive lane, then all bulk lanes together."""
        interactive, *bulk = streams(self._client, model)
        for kind, lanes in ((INTERACTIVE, [interactive]), (BULK, bulk)):
            measured = [one for start in range(0, len(lanes), LANES_AT_ONCE) for one in self._measure(lanes, start)]
            yield LaneState(
                model=model,
                lane=kind,
                entries=sum(entries for entries, _, _ in measured),
                bytes=sum(size for _, size, _ in measured),
                oldest=timedelta(milliseconds=max((age for _, _, age in measured), default=0)),
            )

    def _measure(self, lanes: list[str], start: int) -> list[tuple[int, int, int]]:
        found: list[tuple[int, int, int]] = self._scripts.run(
            Script.MEASURE_LANES, tuple(lanes[start : start + LANES_AT_ONCE])
        )
        return found

    def workers(self, model: ModelName) -> int:
        """Return how many predict workers of a model gave a sign of life within WORKER_SEEN."""
        return len(self.worker_names(model))

    def has_other_workers(self, model: ModelName, worker: str) -> bool:
        """Tell whether predict workers of a model besides this one gave a sign of life within WORKER_SEEN."""
        return bool(self.worker_names(model) - {worker})

    def worker_names(self, model: ModelName) -> set[str]:
        """Return the names of the predict workers of a model that gave a sign of life within WORKER_SEEN."""
        since = server_time_us(self._client) - WORKER_SEEN // timedelta(microseconds=1)
        alive: Any = self._client.zrange(keys.workers(model), since, "+inf", byscore=True)
        return {name.decode() for name in alive}

    def _recorder_lag(self) -> timedelta:
        oldest: Any = self._client.xrange(keys.FINISHED, count=1)
        if not oldest:
            return timedelta(0)
        ended_us = int(oldest[0][0].partition(b"-")[0]) * 1000
        return timedelta(microseconds=max(0, server_time_us(self._client) - ended_us))

    def _cpu_seconds(self) -> float:
        cpu = self._client.info("cpu")
        # The main thread's own figures are missing where the system does not tell them: then the whole process'.
        thread = "_main_thread" if "used_cpu_user_main_thread" in cpu else ""
        return float(cpu[f"used_cpu_user{thread}"]) + float(cpu[f"used_cpu_sys{thread}"])
