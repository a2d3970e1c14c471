"""The workers: they predict, shadow, record and sweep with the product's own code."""

import itertools
from datetime import timedelta

from sqlalchemy.exc import OperationalError

from shared.queue import bells, keys
from shared.queue.consumer.entries import Entry
from shared.queue.consumer.finished_stream import FinishedStream
from shared.queue.consumer.lanes import Lanes
from shared.queue.consumer.shadow_lane import ShadowLane
from shared.queue.lua import Script, Scripts
from shared.queue.server_clock import server_time_us
from shared.settings import Batching, Bulk
from shared.storage.shadow_predictions import ShadowPrediction, Stored
from tests.simulation import pictures
from tests.simulation.promises import TARGET
from tests.simulation.system import BATCH_SIZE, LANES, MODEL, System
from tests.support.observations import observer, record_metrics, shadow_metrics, upkeep_metrics
from tests.support.predictors import AnyMembers
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.predict.leases import LeasedEntries
from worker.predict.limits import Limits
from worker.predict.predictor import Predictor
from worker.predict.shadow_intake import ShadowIntake
from worker.predict.shadowing import Shadowing
from worker.predict.slots import BatchSlots
from worker.record.shadow_recorder import ShadowRecorder
from worker.upkeep.sweep import Upkeep
from worker.upkeep.unserved_models import UnservedModels


class Workers:
    """Each method is one process' work; it may be killed before each of its commands."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._random, self._redis, self._queue = system.random, system.stepped, system.queue
        self._promises = system.promises
        self._in_hand: list[tuple[Lanes, LeasedEntries]] = []
        self._names = itertools.count()
        self.working: set[str] = set()
        """Consumers whose process is alive: a pull of several reads has leased entries that it has not returned yet."""
        # None of these pictures takes long, so that no process is started.
        self._decoders = DecoderPool(1, longest=timedelta(seconds=2), max_pixels=100)
        self._threads = DecodeThreads(1)

    def entries(self) -> list[Entry]:
        """Return what living workers have in hand."""
        return [entry for _, in_hand in self._in_hand for entry in in_hand.entries()]

    def predict(self, token: str) -> None:
        """A worker process that answers one bell, or polls if the token is empty."""
        name = f"w{next(self._names)}"
        lanes = Lanes(self._redis, model=MODEL, consumer=name, settings=self._queue)
        in_hand = LeasedEntries()
        self._in_hand.append((lanes, in_hand))
        # One worker in ten can't load what others serve.
        lacks = self._random.random() < 0.1
        slowness = self._random.randint(0, self._system.conditions.slowness)
        models = pictures.NoModels() if lacks else pictures.PictureModels(pauses=slowness)
        limits = Limits(Batching(max_batch_size=BATCH_SIZE), 100, turn=timedelta(hours=self._random.randint(0, 1)))
        predictor = Predictor(
            model=MODEL,
            worker=name,
            lanes=lanes,
            models=models,
            members=AnyMembers(models),
            leaves_to_others=lambda _: lacks,
            limits=limits,
            shadow=self._shadow_intake(),
            slots=BatchSlots(1),
            leased=in_hand,
            observer=observer(lanes),
            decoders=self._decoders,
            threads=self._threads,
        )
        self.working.add(name)
        try:
            predictor.answer_bell(token)
        finally:
            self.working.discard(name)

    def _shadow_intake(self) -> ShadowIntake:
        return ShadowIntake(lambda: TARGET, settings=self._queue, metrics=shadow_metrics())

    def shadow(self) -> None:
        """A worker that predicts images by the model's shadow while nobody waits."""
        name = f"s{next(self._names)}"
        in_hand = LeasedEntries()
        self._in_hand.append((Lanes(self._redis, model=MODEL, consumer=name, settings=self._queue), in_hand))
        shadowing = Shadowing(
            ShadowLane(self._redis, model=MODEL, consumer=name, settings=self._queue),
            model=MODEL,
            models=pictures.PictureModels(pauses=self._random.randint(0, self._system.conditions.slowness)),
            intake=self._shadow_intake(),
            limits=Limits(Batching(max_batch_size=BATCH_SIZE), 100, turn=timedelta(0)),
            slots=BatchSlots(1),
            leased=in_hand,
            metrics=shadow_metrics(),
            decoders=self._decoders,
            threads=self._threads,
        )
        while shadowing.run_pass([MODEL]):
            pass

    def record_shadows(self) -> None:
        """A recorder of shadows' answers: its commit is one step."""
        promises = self._promises

        def store(shadows: list[ShadowPrediction]) -> Stored:
            if not self._system.postgres_up:
                raise OperationalError("", {}, OSError())
            stored = Stored(known={one.prediction_id for one in shadows if one.prediction_id in promises.rows})
            for one in shadows:
                if one.prediction_id in stored.known:
                    promises.record_shadow(one)
            return stored

        consumer = f"r{self._random.random()}"
        recorder = ShadowRecorder(self._redis, store, consumer=consumer, metrics=record_metrics(), lease=timedelta(0))
        recorder.run_once()

    def renew(self) -> None:
        """A worker's lease thread, perhaps late: another worker may have taken over what it renews."""
        if self._in_hand:
            lanes, in_hand = self._random.choice(self._in_hand[-6:])
            lanes.renew(in_hand.entries())

    def record(self) -> None:
        """A recorder: its commit is one step, everything before and after it is many."""
        stream = FinishedStream(
            self._redis,
            consumer=f"r{self._random.random()}",
            lease=timedelta(0),
            recorded_ttl=timedelta(hours=1),
        )
        stream.silence_bell()
        found = stream.take_over(6)
        if len(found) < 6:
            found += stream.read_new(6 - len(found))
        if len(found) == 6:
            Scripts(self._redis).run(Script.RING, (keys.RECORD_BELL,), keys.RECORD_QUEUE, bells.record_message())
        if not found or not self._system.postgres_up:
            return
        for record in found:
            fields = {name.decode(): value.decode() for name, value in record.record.items()}
            if "total" not in fields:  # a batch's own record
                self._promises.record(fields)
        stream.settle(found)

    def sweep(self) -> None:
        """A sweep, except for what needs Postgres."""
        upkeep = Upkeep(self._redis, None, settings=self._queue, bulk=Bulk(), metrics=upkeep_metrics())  # type: ignore[arg-type]
        now = server_time_us(self._redis)
        upkeep._cancel_late(now)
        upkeep._ring()
        upkeep._tidy(now)

    def give_up(self) -> None:
        """A sweep that gives up the model unless it sees a worker; then the route is published again."""
        UnservedModels(self._redis, settings=self._queue.model_copy(update={"model_patience": timedelta(0)})).sweep()
        self._system.plain.sadd(keys.MODELS, MODEL)

    def expel(self) -> None:
        """Idle consumers are removed, however short they were idle."""
        lane = keys.lane(MODEL, self._random.choice(LANES))
        Scripts(self._redis).run(Script.EXPEL, (lane,), keys.WORKERS, -1)
