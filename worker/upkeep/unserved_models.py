"""What waits for a model that nobody serves: it ends when it has waited long enough, and the model's route goes."""

import logging
from datetime import timedelta
from typing import Any, Final

import redis

from shared.domain.identifiers import ModelName
from shared.queue import bells, keys, model_routes
from shared.queue.inspection.gauges import WORKER_SEEN
from shared.queue.lane_streams import streams
from shared.queue.lua import Script, Scripts

log = logging.getLogger(__name__)

# A sweep comes every 2 s; where none comes for so long, nobody knows any more since when a model is not served. A stack
# that was stopped for a night must not give up in the morning what its workers are about to compute.
REMEMBERED: Final = timedelta(minutes=1)
# Each call holds Redis for about a millisecond; what a sweep leaves is the next one's.
ENTRIES_AT_ONCE: Final = 100
BYTES_AT_ONCE: Final = 4 * 1024 * 1024
CALLS_A_SWEEP: Final = 200
# A gateway's copy of the routes is a second old: submissions may come for so long after a route is withdrawn, and more.
LEFT_AFTER: Final = timedelta(minutes=10)


class UnservedModels:
    """Looks after models that nobody serves. Any number may; each step is atomic and safe to repeat."""

    def __init__(self, client: redis.Redis, *, patience: timedelta) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._patience = patience
        self._record_task = bells.record_message()
        minutes = patience / timedelta(minutes=1)
        spoken = f"{minutes:g} min" if minutes >= 1 else f"{patience.total_seconds():g} s"
        self._error = f"no worker has served this model for {spoken}"

    def sweep(self) -> int:
        """End what has waited too long, and withdraw the routes of models that nobody serves; return how many ended."""
        leaving = model_routes.leaving(self._client)
        ended = sum(self._look_after(model) for model in model_routes.names(self._client))
        for model, withdrawn in leaving.items():
            ended += self._give_up(model)[1]
            self._forget(model, withdrawn)
        return ended

    def _look_after(self, model: ModelName) -> int:
        unserved, ended = self._give_up(model)
        if unserved >= self._patience:
            # A worker that comes back at this moment sees at its next look that its route is gone, and publishes it.
            model_routes.withdraw(self._client, model)
            log.warning("model_unserved", extra={"model": model, "seconds": round(unserved.total_seconds())})
        return ended

    def _give_up(self, model: ModelName) -> tuple[timedelta, int]:
        """End what has waited too long in a model's lanes; return for how long nobody has served it, and how many."""
        interactive, *bulk = streams(self._client, model)
        microseconds, ended, more = self._ask(model, interactive)
        unserved = timedelta(microseconds=microseconds)
        if unserved < self._patience:
            return unserved, 0
        lanes, calls = ([interactive] if more else []) + bulk, 1
        while lanes and calls < CALLS_A_SWEEP:
            _, jobs, more = self._ask(model, lanes[0])
            ended, calls = ended + jobs, calls + 1
            if not more:
                lanes.pop(0)
        if ended:
            log.warning("model_unavailable", extra={"model": model, "jobs": ended})
        return unserved, ended

    def _ask(self, model: ModelName, lane: str) -> tuple[int, int, int]:
        found: Any = self._scripts.run(
            Script.GIVE_UP,
            (lane, keys.workers(model), keys.unserved(model)),
            self._record_task,
            self._error,
            self._patience // timedelta(microseconds=1),
            WORKER_SEEN // timedelta(microseconds=1),
            REMEMBERED // timedelta(milliseconds=1),
            ENTRIES_AT_ONCE,
            BYTES_AT_ONCE,
        )
        microseconds, jobs, more = found
        return microseconds, jobs, more

    def _forget(self, model: ModelName, withdrawn: int) -> None:
        """Look no more after a name that was withdrawn a while ago and that nothing waits for."""
        seconds, micros = self._client.time()
        age = timedelta(seconds=seconds, microseconds=micros - withdrawn)
        if age > LEFT_AFTER and not any(self._client.xlen(lane) for lane in streams(self._client, model)):
            self._client.zrem(keys.LEAVING, model)
