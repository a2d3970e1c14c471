"""Models that no worker serves: their jobs fail after waiting long enough, and their routes are withdrawn."""

import logging
from datetime import timedelta
from typing import Any, Final

import redis

from shared.domain.identifiers import ModelName
from shared.queue import bells, keys, model_routes
from shared.queue.inspection.gauges import WORKER_SEEN
from shared.queue.lane_streams import streams
from shared.queue.lua import Script, Scripts
from shared.queue.server_clock import server_time_us
from shared.settings import Queue

log = logging.getLogger(__name__)

# A sweep comes every 2 s. If none comes for this long, it is no longer known since when a model is not served: a stack
# that was stopped for a night must not fail, in the morning, jobs that its workers are about to compute.
REMEMBERED: Final = timedelta(minutes=1)
# Each call blocks Redis for about a millisecond; the rest is left to the next sweep.
ENTRIES_AT_ONCE: Final = 100
BYTES_AT_ONCE: Final = 4 * 1024 * 1024
CALLS_A_SWEEP: Final = 200
# A version that was deleted in the registry is in the memory of workers alone: once those are gone, nobody can load it.
PATIENCE_FOR_DELETED: Final = timedelta(seconds=5)
# Gateways cache routes for a second, so submissions may come after a route is withdrawn; this is far longer.
LEFT_AFTER: Final = timedelta(minutes=10)


class UnservedModels:
    """Sweeps models that nobody serves. Any number of workers may at once: each step is atomic and safe to repeat."""

    def __init__(self, client: redis.Redis, *, settings: Queue) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._patience = settings.model_patience
        self._failed = settings.failed_arguments
        self._record_task = bells.record_message()

    def sweep(self) -> int:
        """Fail jobs that waited too long, withdraw the routes of models that nobody serves; return how many failed."""
        leaving = model_routes.leaving(self._client)
        ended = sum(self._sweep_model(model) for model in model_routes.names(self._client))
        for model, withdrawn in leaving.items():
            ended += self._give_up(model, self._patience_for(model))[1]
            self._forget(model, withdrawn)
        return ended

    def _sweep_model(self, model: ModelName) -> int:
        patience = self._patience
        unserved, ended = self._give_up(model, patience)
        if timedelta(0) < unserved < patience and (patience := self._patience_for(model)) < self._patience:
            unserved, ended = self._give_up(model, patience)
        if unserved >= patience and self._withdraw(model, patience):
            log.warning("model_unserved", extra={"model": model, "seconds": round(unserved.total_seconds())})
        return ended

    def _withdraw(self, model: ModelName, patience: timedelta) -> bool:
        """Withdraw a model's route; False where a worker has come back since it was found to be unserved."""
        names = (keys.MODELS, keys.LEAVING, keys.workers(model), keys.unserved(model))
        lengths = (patience // timedelta(microseconds=1), WORKER_SEEN // timedelta(microseconds=1))
        return bool(self._scripts.run(Script.WITHDRAW, names, model, *lengths))

    def _patience_for(self, model: ModelName) -> timedelta:
        """Return how long a model may be without a worker: not for long where no worker that starts could load it."""
        route = model_routes.read(self._client, model)
        is_deleted = route is not None and route.is_held_in_memory_alone
        return min(self._patience, PATIENCE_FOR_DELETED) if is_deleted else self._patience

    def _give_up(self, model: ModelName, patience: timedelta) -> tuple[timedelta, int]:
        """Fail what has waited too long in a model's lanes; return how long it is unserved and how many failed."""
        interactive, *bulk = streams(self._client, model)
        microseconds, ended, more = self._give_up_lane(model, interactive, patience)
        unserved = timedelta(microseconds=microseconds)
        if unserved < patience:
            return unserved, 0
        lanes, calls = ([interactive] if more else []) + bulk, 1
        while lanes and calls < CALLS_A_SWEEP:
            _, jobs, more = self._give_up_lane(model, lanes[0], patience)
            ended, calls = ended + jobs, calls + 1
            if not more:
                lanes.pop(0)
        if ended:
            log.warning("model_unavailable", extra={"model": model, "jobs": ended})
        return unserved, ended

    def _give_up_lane(self, model: ModelName, lane: str, patience: timedelta) -> tuple[int, int, int]:
        found: Any = self._scripts.run(
            Script.GIVE_UP,
            (lane, keys.workers(model), keys.unserved(model)),
            self._record_task,
            _error(patience),
            patience // timedelta(microseconds=1),
            WORKER_SEEN // timedelta(microseconds=1),
            REMEMBERED // timedelta(milliseconds=1),
            ENTRIES_AT_ONCE,
            BYTES_AT_ONCE,
            *self._failed,
        )
        microseconds, jobs, more = found
        return microseconds, jobs, more

    def _forget(self, model: ModelName, withdrawn: int) -> None:
        """Stop sweeping a model that was withdrawn a while ago and for which nothing waits."""
        age = timedelta(microseconds=server_time_us(self._client) - withdrawn)
        if age > LEFT_AFTER and not any(self._client.xlen(lane) for lane in streams(self._client, model)):
            self._client.zrem(keys.LEAVING, model)


def _error(patience: timedelta) -> str:
    minutes = patience / timedelta(minutes=1)
    duration = f"{minutes:g} min" if minutes >= 1 else f"{patience.total_seconds():g} s"
    return f"no worker has served this model for {duration}"
