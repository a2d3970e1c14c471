"""The simulated system: clients, Celery, workers, recorders, a sweep, time and faults.

Everything that touches Redis is the product's own code; Postgres is a dictionary with atomic commits, Celery a list
that loses messages. Invariants are checked after every step, and promises once nothing is left to do.

Over 300 lines: the actors share the state of one object.
"""

import hashlib
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import orjson
import redis
from sqlalchemy.exc import OperationalError

from shared import settings
from shared.domain.errors import IdempotencyMismatch, QueueFull, RateLimited
from shared.domain.identifiers import (
    BatchId,
    Digest,
    KeyId,
    ModelName,
    Owner,
    PredictionId,
    VersionKey,
    VersionNumber,
    new_uuid7,
)
from shared.domain.image import ImageFacts
from shared.domain.key_limits import UNLIMITED
from shared.domain.key_limits import Limits as KeyLimits
from shared.domain.model_route import Choice, ShadowTarget
from shared.domain.prediction import MOVES, Status
from shared.queue import bells, keys
from shared.queue.consumer.entries import Result
from shared.queue.consumer.finished_stream import FinishedStream
from shared.queue.consumer.lanes import Lanes
from shared.queue.consumer.shadow_lane import ShadowLane
from shared.queue.job_records import FIELDS, parse
from shared.queue.lua import Script, Scripts, source
from shared.queue.producer.staged_images import stage_command
from shared.queue.producer.submission import (
    BatchClosed,
    Failed,
    Hit,
    Known,
    Queued,
    Submission,
    Unreadable,
    is_staged,
    prepared,
    read_item,
    submit_command,
)
from shared.settings import Batching, Bulk
from shared.storage.shadow_predictions import ShadowPrediction, Stored
from tests.simulation import pictures
from tests.simulation.scheduler import Actor, Scheduler, SteppedRedis
from tests.support.observations import observer, record_metrics, shadow_metrics, upkeep_metrics
from tests.support.predictors import AnyMembers
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.predict.leases import LeasedEntries
from worker.predict.predictor import Limits, Predictor
from worker.predict.shadow_intake import ShadowIntake
from worker.predict.shadowing import Shadowing
from worker.predict.slots import BatchSlots
from worker.record.shadow_recorder import ShadowRecorder
from worker.upkeep.sweep import Upkeep
from worker.upkeep.unserved_models import UnservedModels

MODEL = ModelName("m")
LANES = (keys.INTERACTIVE, "bulk:b1", "bulk:b2")
OWNERS = ("x", "y")
BATCH_SIZE = 4
LAPSED_MS = 10_000_000
MOST_ROUNDS = 400
TARGET = ShadowTarget(champion=VersionKey("3-a"), version=VersionNumber("4"), key=VersionKey("4-b"), percent=90)
LIMITS = KeyLimits(key=KeyId("k"), rate=500, max_inflight=6)


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
    "_sweep_now": 2,
    "_tick_now": 1,
    "_flip_route": 1,
    "_lose_message": 1,
    "_flip_postgres": 1,
    "_expel_now": 1,
    "_cancel_batch_now": 1,
    "_open_batches": 1,
    "_give_up_now": 1,
    "_worker_seen_now": 1,
    None: 89,
}
"""Accidents, likewise."""


class Violation(AssertionError):
    """A promise of the protocol was broken."""


@dataclass(frozen=True)
class Conditions:
    """Which faults occur, and how often.

    `kills` and `evictions` are chances a step, `deadlines` a submission's to have one; a batch takes up to `slowness`
    times as long as a command. Without `leases_hold` any pull may claim anything.
    """

    kills: float = 0.02
    accidents: bool = True
    leases_hold: bool = False
    evictions: float = 0.02
    deadlines: float = 0.25
    slowness: int = 3


CHAOS = Conditions()
"""Kills anywhere, lost bells, evicted keys, flipped routes, Postgres up and down, claims of live entries."""
DROUGHT = Conditions(evictions=0.3, deadlines=0.7, slowness=60)
"""Slow models, so that many jobs end while others wait on, and memory so short that ended jobs are soon evicted."""
CALM = Conditions(kills=0.0, accidents=False)
"""No accidents: bells alone, without ticks or sweeps, must bring every job to its end."""
POISONED = Conditions(kills=0.0, leases_hold=True)
"""Only the poisonous image kills workers, and live workers' leases hold: no other image may fail as worker_lost."""


@dataclass(frozen=True)
class Accepted:
    """An accepted job, and what its client was promised."""

    picture: int
    version: str
    batch: str


class World:
    """One history, played from a seed."""

    def __init__(self, client: redis.Redis, *, seed: int, conditions: Conditions, steps: int = 500) -> None:
        client.flushdb()
        self.random = random.Random(seed)
        self.conditions = conditions
        self.steps = steps
        self.plain = client
        self.stepped = SteppedRedis(connection_pool=client.connection_pool)
        self.schedule = Scheduler(self.random, most_actors=9)
        self.queue = settings.Queue(
            max_failed_bytes=3 * len(pictures.picture(pictures.RAISES)),
            max_waiters=4,
            max_lane_depth=30,
            max_attempts=3,
            lease=timedelta(milliseconds=LAPSED_MS // 2 if conditions.leases_hold else 0),
        )
        self.versions = ("3-a", "4-b")
        self.version = "3-a"
        self.accepted: dict[PredictionId, Accepted] = {}
        self.idempotency: dict[tuple[str, str], PredictionId] = {}
        self.rows: dict[PredictionId, dict[str, Any]] = {}
        self.counters: Counter[tuple[str, str]] = Counter()
        self.seen: dict[PredictionId, Status] = {}
        self.shadow_rows: dict[tuple[PredictionId, str], ShadowPrediction] = {}
        self.postgres_up = True
        self.consumers: dict[str, Actor] = {}
        self.in_hand: list[tuple[Lanes, LeasedEntries]] = []
        self.names = itertools.count()
        self.working: set[str] = set()
        """Consumers whose process is alive: a pull of several reads has leased entries that it has not returned yet."""
        # None of these pictures takes long, so that no process is started.
        self.decoders = DecoderPool(1, longest=timedelta(seconds=2), max_pixels=100)
        self.threads = DecodeThreads(1)
        client.sadd(keys.MODELS, MODEL)
        self._open_batches()
        for script in Script:
            client.script_load(source(script))

    # Actors

    def submit(self) -> None:
        """A client: sends a picture, or up to three of an upload, and sends them again when the answer is lost."""
        chance = self.random
        first = self._submission(self._number())
        others = 0 if first.lane == keys.INTERACTIVE else chance.randint(0, 2)
        alike = {"owner": first.owner, "lane": first.lane, "batch": first.batch}
        upload: list[Submission | Unreadable] = [
            first,
            *(replace(self._submission(self._number()), **alike) for _ in range(others)),
        ]
        if first.batch and chance.random() < 0.3:
            upload.insert(chance.randint(0, len(upload)), _no_image(first))
        jobs = [prepared(one) for one in upload]
        limits = LIMITS if chance.random() < 0.3 else UNLIMITED
        queue = self.queue if chance.random() < 0.5 else self.queue.model_copy(update={"max_inline_image": 1})
        command = submit_command(*jobs, settings=queue, memory_is_high=False, limits=limits)
        for _ in range(3):
            for one in upload:
                if isinstance(one, Submission) and is_staged(one.image, queue) and chance.random() < 0.9:
                    self.stepped.execute_command(*stage_command(one))
            *replies, _left = self.stepped.execute_command(*command)
            for one, reply in zip(upload, replies, strict=True):
                self._note_accepted(one, reply)
            if chance.random() > 0.15:
                return

    def _number(self) -> int:
        """Choose a picture: often one that others send too."""
        chance = self.random
        number = chance.randint(1, 8) if chance.random() < 0.6 else chance.randint(100, 9999)
        return 5 if self.conditions is CALM and number == pictures.POISON else number

    def _note_accepted(self, submission: Submission | Unreadable, reply: Any) -> None:
        """Note an accepted job."""
        try:
            answer = read_item(reply, submission)
        except (QueueFull, RateLimited, IdempotencyMismatch, BatchClosed):
            return
        match answer:
            case Failed():
                self.accepted[submission.id] = Accepted(pictures.UNREADABLE, "", submission.batch)
            case Queued() | Hit() if isinstance(submission, Submission):
                self.accepted[submission.id] = Accepted(
                    int(submission.fingerprint), submission.choice.key, submission.batch
                )
                if submission.idempotency_key:
                    self._first(submission)
            case Known(id) if id not in self.accepted:
                raise Violation(f"{id} is known but was never accepted")

    def _first(self, submission: Submission) -> None:
        key = (submission.owner, submission.idempotency_key)
        if self.idempotency.setdefault(key, submission.id) != submission.id:
            raise Violation(f"two jobs under one idempotency key {key}")

    def late_result(self) -> None:
        """Play a history that chance seldom finds: a job ends, is recorded and evicted while others wait."""
        waiting = self._submission(5)
        late = replace(waiting, id=PredictionId(new_uuid7()), cancel_after=timedelta(microseconds=1))
        alike = {"idempotency_key": "", "lane": keys.INTERACTIVE, "batch": ""}
        for one in (replace(waiting, cancel_after=None, **alike), replace(late, **alike)):
            job = prepared(one)
            self.plain.execute_command(*submit_command(job, settings=self.queue, memory_is_high=False))
            self.accepted[one.id] = Accepted(5, one.choice.key, "")
        time.sleep(0.001)
        lanes = Lanes(self.plain, model=MODEL, consumer="w", settings=self.queue)
        begun = lanes.begin(lanes.pull(BATCH_SIZE).entries)
        self.record()
        self.plain.delete(keys.job(late.id))
        lanes.finish([Result(entry, "succeeded", output=b"1") for entry in begun], run=b"{}")
        self.record()

    def _submission(self, number: int) -> Submission:
        chance = self.random
        data = pictures.picture(number)
        lane = chance.choice((LANES[0], *LANES))
        return Submission(
            id=PredictionId(new_uuid7()),
            owner=Owner(chance.choice(OWNERS)),
            choice=Choice(
                model=MODEL,
                version=VersionNumber(self.version[0]),
                key=VersionKey(self.version),
                variant="champion",
            ),
            image=data,
            facts=ImageFacts(
                sha256=Digest(hashlib.sha256(data).hexdigest()),
                format="PNG",
                width=1,
                height=1,
                bytes=len(data),
                filename=None,
            ),
            metadata={},
            base_url="http://here",
            lane=lane,
            batch=lane.removeprefix("bulk:") if lane != keys.INTERACTIVE else "",
            cancel_after=timedelta(microseconds=int(10 ** chance.uniform(0, 6)))
            if chance.random() < self.conditions.deadlines
            else None,
            idempotency_key=chance.choice(("", "", "", "k1", "k2", "k3")),
            fingerprint=str(number),
        )

    def cancel(self) -> None:
        """A client that cancels its job."""
        unfinished = [id for id in self.accepted if id not in self.rows]
        if unfinished:
            id = self.random.choice(unfinished)
            Scripts(self.stepped).run(Script.CANCEL, (), bells.record_message(), id, "user", "")

    def cancel_batch(self) -> None:
        """An owner who cancels an upload, or a sweep that finishes that."""
        scripts, lane = Scripts(self.stepped), self.random.choice(LANES[1:])
        id, told = lane.removeprefix("bulk:"), bells.record_message()
        said = scripts.run(Script.CANCEL_BATCH, (keys.batch(BatchId(id)),), id, "user", 0, told)
        while said == b"canceled" and scripts.run(Script.CANCEL_LANE, (keys.lane(MODEL, lane),), id, told, 2, 10**6):
            pass

    def poll(self) -> None:
        """A client that polls: the first terminal state that it sees must stay."""
        if not self.accepted:
            return
        id = self.random.choice(list(self.accepted))
        job = parse(id, self.stepped.execute_command("HMGET", keys.job(id), *FIELDS))
        status = job.status if job else self._row_status(id)
        before = self.seen.get(id)
        if before is not None and status is not before and status not in MOVES[before]:
            raise Violation(f"{id} went from {before} to {status}")
        self.seen[id] = status

    def _row_status(self, id: PredictionId) -> Status:
        if id not in self.rows:
            raise Violation(f"{id} was accepted and is nowhere")
        return Status(self.rows[id]["state"])

    def predict(self, token: str) -> None:
        """A worker process that answers one bell, or polls if the token is empty."""
        name = f"w{next(self.names)}"
        lanes = Lanes(self.stepped, model=MODEL, consumer=name, settings=self.queue)
        in_hand = LeasedEntries()
        self.in_hand.append((lanes, in_hand))
        models = pictures.PictureModels(pauses=self.random.randint(0, self.conditions.slowness))
        limits = Limits(Batching(max_batch_size=BATCH_SIZE), 100, turn=timedelta(hours=self.random.randint(0, 1)))
        predictor = Predictor(
            model=MODEL,
            worker=name,
            lanes=lanes,
            models=models,
            members=AnyMembers(models),
            limits=limits,
            shadow=self._shadow_intake(),
            slots=BatchSlots(1),
            leased=in_hand,
            observer=observer(lanes),
            decoders=self.decoders,
            threads=self.threads,
        )
        self.working.add(name)
        try:
            predictor.answer_bell(token)
        finally:
            self.working.discard(name)

    def _shadow_intake(self) -> ShadowIntake:
        return ShadowIntake(lambda: TARGET, settings=self.queue, metrics=shadow_metrics())

    def shadow(self) -> None:
        """A worker that predicts images by the model's shadow while nobody waits."""
        name = f"s{next(self.names)}"
        in_hand = LeasedEntries()
        self.in_hand.append((Lanes(self.stepped, model=MODEL, consumer=name, settings=self.queue), in_hand))
        shadowing = Shadowing(
            ShadowLane(self.stepped, model=MODEL, consumer=name, settings=self.queue),
            model=MODEL,
            models=pictures.PictureModels(pauses=self.random.randint(0, self.conditions.slowness)),
            intake=self._shadow_intake(),
            limits=Limits(Batching(max_batch_size=BATCH_SIZE), 100, turn=timedelta(0)),
            slots=BatchSlots(1),
            leased=in_hand,
            metrics=shadow_metrics(),
            decoders=self.decoders,
            threads=self.threads,
        )
        while shadowing.run_pass([MODEL]):
            pass

    def record_shadows(self) -> None:
        """A recorder of shadows' answers: its commit is one step."""

        def store(shadows: list[ShadowPrediction]) -> Stored:
            if not self.postgres_up:
                raise OperationalError("", {}, OSError())
            stored = Stored(known={one.prediction_id for one in shadows if one.prediction_id in self.rows})
            for one in shadows:
                if one.prediction_id in stored.known:
                    first = self.shadow_rows.setdefault((one.prediction_id, one.version_key), one)
                    if first != one:
                        raise Violation(f"the shadow answered twice for {one.prediction_id}")
            return stored

        consumer = f"r{self.random.random()}"
        ShadowRecorder(self.stepped, store, consumer=consumer, metrics=record_metrics(), lease=timedelta(0)).run_once()

    def renew(self) -> None:
        """A worker's lease thread, perhaps late: another worker may have taken over what it renews."""
        if self.in_hand:
            lanes, in_hand = self.random.choice(self.in_hand[-6:])
            lanes.renew(in_hand.entries())

    def record(self) -> None:
        """A recorder: its commit is one step, everything before and after it is many."""
        stream = FinishedStream(
            self.stepped,
            consumer=f"r{self.random.random()}",
            lease=timedelta(0),
            recorded_ttl=timedelta(hours=1),
        )
        stream.silence_bell()
        found = stream.take_over(6)
        if len(found) < 6:
            found += stream.read_new(6 - len(found))
        if len(found) == 6:
            Scripts(self.stepped).run(Script.RING, (keys.RECORD_BELL,), keys.RECORD_QUEUE, bells.record_message())
        if not found or not self.postgres_up:
            return
        for record in found:
            fields = {name.decode(): value.decode() for name, value in record.record.items()}
            if "total" in fields:  # of a batch itself
                continue
            row = self.rows.setdefault(PredictionId(fields["id"]), fields)
            if row is fields:
                self.counters[fields["batch"], fields["state"]] += 1
            elif row["state"] != fields["state"]:
                raise Violation(f"two records of {fields['id']}: {row['state']} and {fields['state']}")
        stream.settle(found)

    def sweep(self) -> None:
        """A sweep, except for what needs Postgres."""
        upkeep = Upkeep(self.stepped, None, settings=self.queue, bulk=Bulk(), metrics=upkeep_metrics())  # type: ignore[arg-type]
        seconds, micros = self.stepped.time()
        now = seconds * 1_000_000 + micros
        upkeep._cancel_late(now)
        upkeep._ring(now)

    def give_up(self) -> None:
        """A sweep that gives up the model unless it sees a worker; then the route is published again."""
        UnservedModels(self.stepped, settings=self.queue.model_copy(update={"model_patience": timedelta(0)})).sweep()
        self.plain.sadd(keys.MODELS, MODEL)

    def expel(self) -> None:
        """Idle consumers are removed, however short they were idle."""
        lane = keys.lane(MODEL, self.random.choice(LANES))
        Scripts(self.stepped).run(Script.EXPEL, (lane,), keys.WORKERS, -1)

    # Time and faults

    def run(self) -> int:
        """Play the history; raises Violation. Returns how many jobs there were."""
        for step in range(self.steps):
            self._begin_something()
            self._serve_bells()
            self._step(self.conditions.kills)
            if step % 8 == 0:
                self.check()
        self.postgres_up = True
        self._run_until_idle()
        self.check()
        self.check_at_rest()
        return len(self.accepted)

    def _begin_something(self) -> None:
        """Begin an action of an actor, or cause a fault."""
        began = self.random.choices(list(LIFE), weights=list(LIFE.values()))[0]
        if began is not None:
            self.schedule.spawn(began, getattr(self, began))
        if not self.conditions.accidents:
            return
        went_wrong = self.random.choices(list(ACCIDENTS), weights=list(ACCIDENTS.values()))[0]
        if went_wrong is not None:
            getattr(self, went_wrong)()
        if self.random.random() < self.conditions.evictions:
            self._evict()

    def _cancel_batch_now(self) -> None:
        self.schedule.spawn("cancel_batch", self.cancel_batch)

    def _open_batches(self) -> None:
        """Uploads begin again, under the ids of those that were canceled."""
        for lane in LANES[1:]:
            batch = keys.batch(BatchId(lane.removeprefix("bulk:")))
            self.plain.hset(
                batch, mapping={"state": "validating", "owner": "x", "request": "{}", "created": 1, "total": 0}
            )

    def _flip_route(self) -> None:
        self.version = self.random.choice(self.versions)

    def _flip_postgres(self) -> None:
        self.postgres_up = not self.postgres_up

    def _sweep_now(self) -> None:
        self.schedule.spawn("sweep", self.sweep)

    def _tick_now(self) -> None:
        self.schedule.spawn("tick", lambda: self.predict(""))

    def _give_up_now(self) -> None:
        self.schedule.spawn("give_up", self.give_up)

    def _worker_seen_now(self) -> None:
        """A worker of the model appears or disappears."""
        lanes = Lanes(self.plain, model=MODEL, consumer="seen", settings=self.queue)
        self.random.choice((lanes.sign_of_life, lanes.leave))()

    def _expel_now(self) -> None:
        self.schedule.spawn("expel", self.expel)

    def _evict(self) -> None:
        """Keys that have a TTL are evicted or expire, bells included."""
        mortal = [key for key in self.plain.keys("*") if self.plain.pttl(key) >= 0]
        if mortal:
            self.plain.delete(*self.random.sample(sorted(mortal), self.random.randint(1, len(mortal))))

    def _lose_message(self) -> None:
        self.plain.rpop(self.random.choice((keys.predict_queue(MODEL), keys.RECORD_QUEUE)))

    def _serve_bells(self) -> None:
        """Celery: run a task for a message when a worker is free."""
        while self.schedule.has_room and self.random.random() < 0.6:
            message = self.plain.rpop(keys.predict_queue(MODEL))
            if message:
                token = orjson.loads(message)["headers"]["id"]
                actor = self.schedule.spawn("predict", lambda token=token: self.predict(token))
                self.consumers[actor.name] = actor
            elif self.plain.rpop(keys.RECORD_QUEUE):
                self.schedule.spawn("record", self.record)
            else:
                return

    def _step(self, kills: float) -> None:
        before = len(self.schedule.actors)
        self.schedule.step(kill_chance=kills)
        if self.conditions.leases_hold and len(self.schedule.actors) < before:
            self._end_leases_of_dead()

    def _end_leases_of_dead(self) -> None:
        """Let the leases of dead workers end: their pending entries become long idle; live workers' stay fresh."""
        living = {entry.id for _, in_hand in self.in_hand for entry in in_hand.entries()}
        for lane in self._lanes():
            for pending in self.plain.xpending_range(lane, keys.WORKERS, "-", "+", 999):
                entry, owner = pending["message_id"].decode(), pending["consumer"]
                if entry not in living and owner.decode() not in self.working:
                    self.plain.xclaim(lane, keys.WORKERS, owner, 0, [entry], idle=LAPSED_MS, justid=True)

    def _lanes(self) -> list[str]:
        return [lane for name in LANES if self.plain.exists(lane := keys.lane(MODEL, name))]

    def _run_until_idle(self) -> None:
        """Run until nothing is left to do."""
        for _ in range(MOST_ROUNDS):
            while self.schedule.actors:
                self._step(0.0)
            self._serve_bells()
            if self.schedule.actors or self.plain.llen(keys.predict_queue(MODEL)) + self.plain.llen(keys.RECORD_QUEUE):
                continue
            if not any(self.plain.xlen(lane) for lane in (*self._lanes(), keys.FINISHED)):
                if not any(self.plain.xlen(stream) for stream in (keys.shadow_lane(MODEL), keys.SHADOW_RESULTS)):
                    return
                self.schedule.spawn("shadow", self.shadow)
                self.schedule.spawn("record_shadows", self.record_shadows)
                continue
            if self.conditions is CALM:
                raise Violation("work waits and nobody was called")
            self.plain.delete(keys.bell(MODEL), keys.RECORD_BELL)  # five seconds pass
            self.schedule.spawn("sweep", self.sweep)
            self.schedule.spawn("tick", lambda: self.predict(""))

    # What must hold

    def check(self) -> None:
        """Check the design's invariants, as they must hold between any two commands."""
        finished = {fields[b"id"].decode() for _, fields in self.plain.xrange(keys.FINISHED)}
        entries = {lane: self._entries(lane) for lane in self._lanes()}
        for id, promise in self.accepted.items():
            fields = self.plain.hgetall(keys.job(id))
            if not fields:
                if id not in self.rows:
                    raise Violation(f"{id} vanished")
                continue
            state = Status(fields[b"state"].decode())
            if state.is_terminal:
                self._check_ended(id, promise, state, fields, finished)
            else:
                self._check_waits(id, fields, entries)

    def _entries(self, lane: str) -> set[str]:
        """Return the entries that are new or pending; any other is stranded."""
        found = self.plain.xrange(lane)
        present = [entry.decode() for entry, _ in found]
        beside = [entry.decode() for entry, fields in found if b"image" not in fields]
        lost = [entry for entry in beside if self.plain.pttl(keys.image(lane, entry)) != -1]
        if lost:
            raise Violation(f"no image, or not for good, in {lane}: {lost}")
        pending = {p["message_id"].decode() for p in self.plain.xpending_range(lane, keys.WORKERS, "-", "+", 999)}
        delivered = _order(self.plain.xinfo_groups(lane)[0]["last-delivered-id"].decode())
        stranded = [e for e in present if _order(e) <= delivered and e not in pending]
        if stranded:
            raise Violation(f"stranded in {lane}: {stranded}")
        return set(present)

    def _check_ended(
        self,
        id: PredictionId,
        promise: Accepted,
        state: Status,
        fields: dict[bytes, bytes],
        finished: set[str],
    ) -> None:
        if id not in finished and id not in self.rows:
            raise Violation(f"{id} ended and is recorded nowhere")
        if state is Status.SUCCEEDED and fields[b"output"] != pictures.output(promise.version, promise.picture):
            raise Violation(f"{id} {promise} got {fields[b'output']!r}")
        if id in self.rows and self.rows[id]["state"] != state:
            raise Violation(f"{id} is {state} in Redis and {self.rows[id]['state']} in Postgres")

    def _check_waits(self, id: PredictionId, fields: dict[bytes, bytes], entries: dict[str, set[str]]) -> None:
        if b"waiting" not in fields:
            raise Violation(f"{id} came back to life: {fields}")
        head, *waiting = self.plain.lrange(fields[b"waiting"], 0, -1) or [b""]
        if head != fields[b"entry"] or id.encode() not in waiting:
            raise Violation(f"{id} waits for nothing: {fields}")
        if fields[b"entry"].decode() not in entries.get(fields[b"lane"].decode(), set()):
            raise Violation(f"{id} has no entry")

    def _check_failed_images(self) -> None:
        """Check that the images of failures are counted right, and bounded; each may have been evicted."""
        members = [member.decode().split(" ", 1) for member in self.plain.zrange(keys.FAILED_IMAGES, 0, -1)]
        counted = int(self.plain.get(keys.FAILED_BYTES) or 0)
        if counted != sum(int(size) for size, _ in members) or counted > self.queue.max_failed_bytes:
            raise Violation(f"images of failures have {members}, counted as {counted} bytes")
        by_owner = {
            owner: [member.decode() for member in self.plain.zrange(keys.failed_images_of(Owner(owner)), 0, -1)]
            for owner in OWNERS
        }
        mine = {owner: [f"{size} {key}" for size, key in members if f":{owner}:" in key] for owner in OWNERS}
        held = {owner: sum(int(one.split()[0]) for one in images) for owner, images in mine.items() if images}
        found = {
            one.decode(): held for one, held in self.plain.zrange(keys.FAILED_BYTES_BY_OWNER, 0, -1, withscores=True)
        }
        if any(sorted(by_owner[owner]) != sorted(mine[owner]) for owner in OWNERS) or found != held:
            raise Violation(f"images of failures have {members}, by owner {by_owner}, counted as {found}")
        unknown = {key.decode() for key in self.plain.keys(f"{keys.failed_image_prefix()}*")} - {
            key for _, key in members
        }
        if unknown:
            raise Violation(f"images of failures that nobody knows: {sorted(unknown)[:3]}")

    def check_at_rest(self) -> None:
        """Check that every promise was kept, exactly once."""
        missing = [id for id in self.accepted if id not in self.rows]
        if missing:
            raise Violation(f"never ended: {missing[:5]}")
        if self.rows.keys() - self.accepted.keys():
            raise Violation("rows that nobody was promised")
        counted = Counter((row["batch"], row["state"]) for row in self.rows.values())
        if counted != self.counters:
            raise Violation(f"counted {self.counters}, there are {counted}")
        for id, row in self.rows.items():
            self._check_row(row, self.accepted[id])
        for (id, key), shadow in self.shadow_rows.items():
            self._check_shadow(self.rows[id], self.accepted[id], key, shadow)
        kept = {
            keys.workers(MODEL),
            keys.LEAVING,
            keys.FINISHED,
            keys.SHADOW_RESULTS,
            keys.shadow_lane(MODEL),
            keys.MODELS,
            keys.UPLOADS,
            keys.BELLS,
            keys.IDEMPOTENCY_KEYS,
            keys.FAILED_IMAGES,
            keys.FAILED_BYTES,
            keys.FAILED_BYTES_BY_OWNER,
            *(keys.failed_images_of(Owner(owner)) for owner in OWNERS),
            *map(str, self._lanes()),
        }
        self._check_failed_images()
        # -1: no TTL; -2 is one that has expired since.
        left = {key.decode() for key in self.plain.keys("*") if self.plain.ttl(key) == -1} - kept
        left = {key for key in left if not key.startswith(("idempotency:", "bulk:", "batch:"))}
        if left:
            raise Violation(f"left behind: {sorted(left)[:6]}")

    def _check_row(self, row: dict[str, Any], promise: Accepted) -> None:
        expected = pictures.output(promise.version, promise.picture).decode()
        if row["state"] == Status.SUCCEEDED and row["output"] != expected:
            raise Violation(f"{promise} was recorded as {row['output']}")
        codes = {
            "undecodable_image": pictures.UNREADABLE,
            "model_error": pictures.RAISES,
        }
        if row["code"] in codes and promise.picture != codes[row["code"]]:
            raise Violation(f"{promise} failed for its neighbour: {row['code']}")
        given_up = row["code"] == "worker_lost" and promise.picture != pictures.POISON
        if given_up and self.conditions.leases_hold:
            raise Violation(f"{promise} was given up though innocent")

    def _check_shadow(self, row: dict[str, Any], promise: Accepted, key: str, shadow: ShadowPrediction) -> None:
        """Check that a shadow's answer is of its picture, beside a success that the champion computed."""
        if (row["state"], row["source"], promise.version, key) != ("succeeded", "model", TARGET.champion, TARGET.key):
            raise Violation(f"a shadow predicted {promise}, which ended as {row}")
        expected = orjson.loads(pictures.output(TARGET.key, promise.picture))
        if shadow.status == Status.SUCCEEDED and shadow.output != expected:
            raise Violation(f"the shadow's answer to {promise} is {shadow.output}")


def _no_image(beside: Submission) -> Unreadable:
    """Return an item of the same upload that is no image."""
    return Unreadable(
        id=PredictionId(new_uuid7()),
        owner=beside.owner,
        choice=beside.choice,
        lane=beside.lane,
        batch=beside.batch,
        custom_id="notes.txt",
        filename=None,
        size=1,
        sha256=None,
        error="this is text",
    )


def _order(entry: str) -> tuple[int, int]:
    milliseconds, serial = entry.split("-")
    return int(milliseconds), int(serial)
