"""The simulated system as a whole: clients, Celery, workers, recorders, a sweep, time and faults.

Everything that touches Redis is the product's own code; Postgres is a dictionary with atomic commits, Celery a list
that loses messages. Invariants are checked after every step, and promises once nothing is left to do.
"""

from functools import partial

import orjson
import redis

from shared.domain.identifiers import BatchId
from shared.queue import keys
from shared.queue.consumer.lanes import Lanes
from shared.queue.lua import Script, source
from tests.simulation.clients import Clients
from tests.simulation.conditions import CALM, Conditions
from tests.simulation.invariants import Invariants
from tests.simulation.promises import Violation
from tests.simulation.scheduler import Scheduler
from tests.simulation.system import LANES, LAPSED_MS, MODEL, make_system
from tests.simulation.workers import Workers

LIFE: dict[str | None, float] = {
    "submit": 16,
    "cancel": 4,
    "poll": 4,
    "renew": 2,
    "shadow": 4,
    "record_shadows": 2,
    None: 68,
}
"""What clients and workers begin, by weight (of 100 steps)."""
ACCIDENTS: dict[str | None, float] = {
    "sweep": 2,
    "tick": 1,
    "flip_route": 1,
    "lose_message": 1,
    "flip_postgres": 1,
    "expel": 1,
    "cancel_batch": 1,
    "open_batches": 1,
    "give_up": 1,
    "worker_seen": 1,
    None: 89,
}
"""Accidents, likewise."""
MOST_ROUNDS = 400


class World:
    """One history, played from a seed."""

    def __init__(self, client: redis.Redis, *, seed: int, conditions: Conditions, steps: int = 500) -> None:
        client.flushdb()
        self._system = make_system(client, seed=seed, conditions=conditions)
        self._redis, self._random, self._conditions = client, self._system.random, conditions
        self._steps = steps
        self._schedule = Scheduler(self._random, most_actors=9)
        self._clients, self._workers = Clients(self._system), Workers(self._system)
        self._invariants = Invariants(self._system)
        self._calls = {
            "submit": self._clients.submit,
            "cancel": self._clients.cancel,
            "cancel_batch": self._clients.cancel_batch,
            "poll": self._clients.poll,
            "renew": self._workers.renew,
            "shadow": self._workers.shadow,
            "record_shadows": self._workers.record_shadows,
            "sweep": self._workers.sweep,
            "tick": lambda: self._workers.predict(""),
            "expel": self._workers.expel,
            "give_up": self._workers.give_up,
        }
        self._accidents = {
            "flip_route": self._flip_route,
            "flip_postgres": self._flip_postgres,
            "lose_message": self._lose_message,
            "open_batches": self._open_batches,
            "worker_seen": self._worker_seen,
        }
        client.sadd(keys.MODELS, MODEL)
        self._open_batches()
        for script in Script:
            client.script_load(source(script))

    def run(self) -> int:
        """Play the history; raises Violation. Returns how many jobs there were."""
        for step in range(self._steps):
            self._begin_something()
            self._serve_bells()
            self._step(self._conditions.kills)
            if step % 8 == 0:
                self._invariants.check()
        self._system.postgres_up = True
        self._run_until_idle()
        self._invariants.check()
        self._system.promises.check_at_rest(leases_hold=self._conditions.leases_hold)
        self._invariants.check_at_rest()
        return len(self._system.promises.accepted)

    def late_result(self) -> None:
        """Play a history that chance seldom finds: a job ends, is recorded and evicted while others wait."""
        self._clients.late_result(self._workers.record)

    def _begin_something(self) -> None:
        """Begin an action of an actor, or cause a fault."""
        chance = self._random
        self._begin(chance.choices(list(LIFE), weights=list(LIFE.values()))[0])
        if not self._conditions.accidents:
            return
        self._begin(chance.choices(list(ACCIDENTS), weights=list(ACCIDENTS.values()))[0])
        if chance.random() < self._conditions.evictions:
            self._evict()

    def _begin(self, name: str | None) -> None:
        if name in self._calls:
            self._schedule.spawn(name, self._calls[name])
        elif name is not None:
            self._accidents[name]()

    def _open_batches(self) -> None:
        """Uploads begin again, under the ids of those that were canceled."""
        for lane in LANES[1:]:
            batch = keys.batch(BatchId(lane.removeprefix("bulk:")))
            self._redis.hset(
                batch, mapping={"state": "validating", "owner": "x", "request": "{}", "created": 1, "total": 0}
            )

    def _flip_route(self) -> None:
        self._system.version = self._random.choice(self._system.versions)

    def _flip_postgres(self) -> None:
        self._system.postgres_up = not self._system.postgres_up

    def _worker_seen(self) -> None:
        """A worker of the model appears or disappears."""
        lanes = Lanes(self._redis, model=MODEL, consumer="seen", settings=self._system.queue)
        self._random.choice((lanes.sign_of_life, lanes.leave))()

    def _evict(self) -> None:
        """Keys that have a TTL are evicted or expire, bells included."""
        mortal = [key for key in self._redis.keys("*") if self._redis.pttl(key) >= 0]
        if mortal:
            self._redis.delete(*self._random.sample(sorted(mortal), self._random.randint(1, len(mortal))))

    def _lose_message(self) -> None:
        self._redis.rpop(self._random.choice((keys.predict_queue(MODEL), keys.RECORD_QUEUE)))

    def _serve_bells(self) -> None:
        """Celery: run a task for a message when a worker is free."""
        while self._schedule.has_room and self._random.random() < 0.6:
            message = self._redis.rpop(keys.predict_queue(MODEL))
            if message:
                token = orjson.loads(message)["headers"]["id"]
                self._schedule.spawn("predict", partial(self._workers.predict, token))
            elif self._redis.rpop(keys.RECORD_QUEUE):
                self._schedule.spawn("record", self._workers.record)
            else:
                return

    def _step(self, kills: float) -> None:
        before = len(self._schedule.actors)
        self._schedule.step(kill_chance=kills)
        if self._conditions.leases_hold and len(self._schedule.actors) < before:
            self._end_leases_of_dead()

    def _end_leases_of_dead(self) -> None:
        """Let the leases of dead workers end: their pending entries become long idle; live workers' stay fresh."""
        living = {entry.id for entry in self._workers.entries()}
        for lane in self._system.lanes():
            for pending in self._redis.xpending_range(lane, keys.WORKERS, "-", "+", 999):
                entry, owner = pending["message_id"].decode(), pending["consumer"]
                if entry not in living and owner.decode() not in self._workers.working:
                    self._redis.xclaim(lane, keys.WORKERS, owner, 0, [entry], idle=LAPSED_MS, justid=True)

    def _run_until_idle(self) -> None:
        """Run until nothing is left to do."""
        for _ in range(MOST_ROUNDS):
            while self._schedule.actors:
                self._step(0.0)
            self._serve_bells()
            if self._schedule.actors or self._redis.llen(keys.predict_queue(MODEL)) + self._redis.llen(
                keys.RECORD_QUEUE
            ):
                continue
            if not any(self._redis.xlen(lane) for lane in (*self._system.lanes(), keys.FINISHED)):
                if not any(self._redis.xlen(stream) for stream in (keys.shadow_lane(MODEL), keys.SHADOW_RESULTS)):
                    return
                self._begin("shadow")
                self._begin("record_shadows")
                continue
            if self._conditions is CALM:
                raise Violation("work waits and nobody was called")
            self._redis.delete(keys.bell(MODEL), keys.RECORD_BELL)  # five seconds pass
            self._begin("sweep")
            self._begin("tick")
