"""Predict processes that serve models and get no image: what each asks of Redis, from one process without torch.

Each has a connection of its own, gives its signs of life and asks for waiting entries as often as a real one, and waits
for bells of a queue that nobody rings. Its models get routes like a given model's. Run as a measuring process: `ready`
when every route is published and every worker has registered; told to end, it takes both back.
"""

import contextlib
import heapq
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

import orjson
import redis

from benchmarks.load import children
from shared.domain.identifiers import ModelName
from shared.queue import keys, model_routes
from shared.queue.connection.clients import connect
from shared.queue.consumer.lanes import Lanes
from shared.settings import Predict, Queue, Redis
from worker.predict.leases import LeasedEntries, LeaseKeeper

RENEWING: Final = 2.0
"""Seconds between two signs of life, as in `worker.roles.predict`."""
_BELL_WAIT: Final = 10
"""Seconds of one BRPOP: kombu's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleWorkers:
    """How many processes there are, and what each of them serves."""

    redis_url: str
    like: str
    """The model whose route the other models get."""
    processes: int
    models: int
    """How many models besides `like` get a route; each process serves all of them, and `like`."""

    def as_json(self) -> bytes:
        """Write it as a measuring process' task."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, task: bytes) -> Self:
        """Read it there."""
        return cls(**orjson.loads(task))

    def names(self) -> list[ModelName]:
        """Return the other models' names."""
        return [ModelName(f"idle-{number:03}") for number in range(self.models)]


class _Worker:
    """One process' questions to Redis."""

    def __init__(self, plan: IdleWorkers, number: int) -> None:
        self._client = connect(Redis(url=plan.redis_url))
        self._bells = connect(Redis(url=plan.redis_url))
        name, settings = f"idle-worker-{number}", Queue()
        self._lanes = [
            Lanes(self._client, model=model, consumer=name, settings=settings)
            for model in (ModelName(plan.like), *plan.names())
        ]
        self._keeper = LeaseKeeper(LeasedEntries(), heavy=list)
        for lanes in self._lanes:
            self._keeper.add(lanes)
        self.renew()
        threading.Thread(target=self._wait_for_bells, args=(keys.predict_queue(ModelName(name)),), daemon=True).start()

    def renew(self) -> None:
        """Give signs of life."""
        self._keeper.renew()

    def poll(self) -> None:
        """Ask for lanes with entries, and leave them to the real workers."""
        first, *others = self._lanes
        first.lanes_with_entries(*others)

    def leave(self) -> None:
        """Take back the signs of life."""
        for lanes in self._lanes:
            lanes.leave()

    def _wait_for_bells(self, queue: str) -> None:
        with contextlib.suppress(redis.RedisError):  # the stack is gone
            while True:
                self._bells.brpop([queue], timeout=_BELL_WAIT)


def _publish(client: "redis.Redis", plan: IdleWorkers) -> None:
    route = model_routes.read(client, ModelName(plan.like))
    if route is None:
        raise ValueError(f"{plan.like} has no route")
    for name in plan.names():
        model_routes.publish(client, replace(route, model=name))


def _run(workers: list[_Worker], ended: threading.Event) -> None:
    """Let each worker do its two tasks in time, spread evenly, until ended."""
    began, tick = time.monotonic(), Predict().tick.total_seconds()
    due: list[tuple[float, int, Any, float]] = []
    for number, worker in enumerate(workers):
        offset = began + number / len(workers) * RENEWING
        due += [(offset, 2 * number, worker.renew, RENEWING), (offset + tick / 2, 2 * number + 1, worker.poll, tick)]
    heapq.heapify(due)
    while due:
        at, order, task, pause = due[0]
        if ended.wait(max(0.0, at - time.monotonic())):
            return
        task()
        heapq.heapreplace(due, (at + pause, order, task, pause))
    ended.wait()


def main() -> None:
    """Run as a measuring process."""
    plan = IdleWorkers.from_json(children.read_task())
    client, ended = connect(Redis(url=plan.redis_url)), threading.Event()
    _publish(client, plan)
    workers = [_Worker(plan, number) for number in range(plan.processes)]
    running = threading.Thread(target=_run, args=(workers, ended))
    running.start()
    children.ready()
    children.wait_for_end()
    ended.set()
    running.join()
    for worker in workers:
        worker.leave()
    for name in plan.names():
        model_routes.withdraw(client, name)
    with open(sys.argv[1], "wb") as output:  # noqa: PTH123
        output.write(b"{}")


if __name__ == "__main__":
    main()
