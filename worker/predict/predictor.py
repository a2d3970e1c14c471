"""Micro-batches, end to end: pull, compute, finish; one after another while there is work.

An image that ends its process is taken over by another worker as a suspect and run with nothing beside it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from shared.domain.identifiers import ModelName, VersionKey
from shared.observability.logs import bound
from shared.queue.consumer.entries import Entry, Result
from shared.queue.consumer.heavy_room import HeavyRoom
from shared.queue.consumer.lanes import BellCall, Lanes
from shared.queue.job_records import write_run
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.models.registry.serving_tags import Tuning
from worker.predict.batch_limit import BatchLimit
from worker.predict.batch_observer import BatchObserver
from worker.predict.batch_tracing import UNTRACED, Untraced
from worker.predict.computation import Computation
from worker.predict.decoding import Decoding
from worker.predict.heavy_images import HeavyImages
from worker.predict.leases import LeasedEntries
from worker.predict.left_to_others import LeftToOthers
from worker.predict.limits import Limits
from worker.predict.model_protocols import Members, Models
from worker.predict.pipelines.pipelines import Pipelines
from worker.predict.pipelines.unfinished_pictures import UnfinishedPictures
from worker.predict.pipelines.work import Unfinished
from worker.predict.predict_report import NOTHING, MicroBatch, PredictReport, count_batch
from worker.predict.shadow_intake import ShadowIntake
from worker.predict.slots import BatchSlots
from worker.predict.unloaded_versions import UnloadedVersions

log = logging.getLogger(__name__)

RECLAIM_PAUSE: Final = timedelta(milliseconds=500)
"""Between two checks for suspects: two round trips, which no lease of seconds needs with every micro-batch."""
NO_BELL: Final = ""
"""What stands for a bell's token where no bell called."""


class Predictor:
    """Predicts micro-batches of one model; called by the tasks and by the thread that polls."""

    def __init__(  # noqa: PLR0913  what a worker has one of is handed in, not looked for
        self,
        *,
        model: ModelName,
        worker: str,
        lanes: Lanes,
        models: Models,
        members: Members,
        limits: Limits,
        slots: BatchSlots,
        leased: LeasedEntries,
        observer: BatchObserver,
        decoders: DecoderPool,
        threads: DecodeThreads,
        tuning: Callable[[], Tuning] | None = None,
        leaves_to_others: Callable[[VersionKey], bool],
        shadow: ShadowIntake | None,
        tracing: Untraced = UNTRACED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`members` are the versions of pipelines, of whichever models; `models` those of this one.

        `leaves_to_others` is as `LeftToOthers` takes it.
        """
        self._model, self._worker = model, worker
        self._lanes = lanes
        self._tuning = tuning or limits.tuning
        self._turn = limits.turn.total_seconds()
        self._slots, self._leased = slots, leased
        self._observer, self._shadow, self._tracing = observer, shadow, tracing
        self._monotonic = monotonic
        self._left = LeftToOthers(lanes=lanes, leaves_to_others=leaves_to_others, monotonic=monotonic)
        self._limit = BatchLimit(limits.batching, monotonic=monotonic)
        decoding = Decoding(decoders=decoders, threads=threads, max_pixels=limits.max_pixels)
        pipelines = Pipelines(
            members,
            decoders=decoders,
            threads=threads,
            max_pixels=limits.max_pixels,
            metrics=observer.metrics,
            limit=self._limit,
            on_progress=leased.progressed,
            step=tracing.step,
        )
        self._computation = Computation(
            models,
            pipelines=pipelines,
            decoding=decoding,
            metrics=observer.metrics,
            limit=self._limit,
            step=tracing.step,
        )
        self.unloaded = UnloadedVersions(
            self._computation.load,
            slots=slots,
            compute=self._run_loaded,
            on_room=lanes.ring,
            longest=limits.longest_load,
            monotonic=monotonic,
        )
        self.heavy = HeavyImages(decoders.count, compute=self._run_heavy, on_room=lanes.ring)
        self.unfinished = UnfinishedPictures(compute_part=self._run_part, on_room=lanes.ring)
        self._next_reclaim = 0.0
        self._suspects_wait = False

    def answer_bell(self, token: str) -> PredictReport:
        """Predict micro-batches until there is no work or the task's time is over.

        Nothing if another bell than `token` rings by now: its task does the work. A bell costs Celery about a
        millisecond, a micro-batch of small images costs less. Killed at any line: what was pulled stays pending under
        this consumer until its lease ends, then runs alone.
        """
        over = self._monotonic() + self._turn
        report = PredictReport(model=self._model, batch_size=0.0, ms=0.0, images=0, batches=0)
        with bound(model=self._model):
            call = self._lanes.answer(token)
            if call is None:
                return report
            while True:
                batch = self._run_next(call)
                count_batch(report, batch)
                if not batch.size or self._monotonic() >= over:
                    break
            # Last, because it takes two round trips, which nobody whose image is new should wait for.
            if self._has_suspects():
                count_batch(report, self._run_suspect())
        return report

    def poll(self) -> PredictReport:
        """Do what a bell's task does, although no bell called."""
        return self.answer_bell(NO_BELL)

    def stop(self) -> None:
        """Finish what threads of this model have in hand, half a minute each at most."""
        self.unloaded.stop()
        self.heavy.stop()
        self.unfinished.stop()

    def _run_next(self, call: BellCall) -> MicroBatch:
        """Pull one micro-batch, if there are entries, and predict it."""
        if self._left.is_pausing():
            return NOTHING
        with self._slots.shared():
            tuning = self._tuning()
            self._limit.tune(max_batch_size=tuning.max_batch_size, beside_people=tuning.beside_people)
            limit = self._limit.images()
            if self.unloaded.count() >= limit:  # a version is being loaded, and its images are a micro-batch by now
                return NOTHING
            limit -= self.unfinished.count()
            if limit <= 0 or (self._suspects_wait and self.unfinished.count()):
                return NOTHING
            pull = self._lanes.pull(
                limit, bulk=call.bulk_waits, beside=self._limit.beside_people(), heavy=self._room_for_heavy()
            )
            entries = pull.entries
            with self._leased.hold(entries, longest=tuning.timeout):
                if not pull.lanes_empty:
                    self._lanes.wake_another(call)
                elif entries and tuning.max_wait:
                    entries += self._wait_for_more(tuning.max_wait, room=limit - len(entries))
                self._observer.pulled(entries)
                return self._predict(entries)

    def _wait_for_more(self, max_wait: timedelta, *, room: int) -> list[Entry]:
        time.sleep(max_wait.total_seconds())
        return self._lanes.pull(room, heavy=self._room_for_heavy()).entries if room > 0 else []

    def _room_for_heavy(self) -> HeavyRoom:
        return HeavyRoom(self.heavy.room(), self.heavy.lanes())

    def _has_suspects(self) -> bool:
        """Check for entries of a worker that is gone, now and then; where there was one there may be more."""
        now = self._monotonic()
        if now < self._next_reclaim or self._left.is_pausing():
            return False
        found = self._lanes.has_suspects()
        if not found:
            self._next_reclaim = now + RECLAIM_PAUSE.total_seconds()
        return found

    def _run_suspect(self) -> MicroBatch:
        """Predict one image whose worker is gone, with nothing beside it.

        Unfinished pictures of pipelines go first: they would be suspected too, should it end the process. While a
        version is loaded other workers may take it: waiting for that would keep every image from this process. One
        whose version has to be loaded waits for that as other images do, and is handed back then.
        """
        self._suspects_wait = self.unfinished.count() > 0
        if self._suspects_wait or self._slots.loads:
            return NOTHING
        # More may be waiting, and a suspect may end the process: call another worker first.
        self._lanes.ring()
        # Claimed only once nothing else runs here: whatever else the process held would die and be suspected too.
        with self._slots.alone():
            suspect = self._lanes.reclaim()
            if suspect is None:
                return NOTHING
            self._observer.took_over(suspect)
            with self._leased.hold([suspect], longest=self._tuning().timeout):
                return self._predict([suspect], alone=True)

    def _predict(self, entries: Sequence[Entry], *, alone: bool = False, waits_for_load: bool = False) -> MicroBatch:
        """Begin, compute and finish the entries; those that nobody waits for any more are left out.

        Heavy images are handed to threads of their own and finish later, except one that runs alone; so are those whose
        version has to be loaded first, unless `waits_for_load`.
        """
        wanted = self._lanes.begin(entries)
        if not wanted:
            return NOTHING
        start = self._tracing.begin(self._monotonic())
        heavy: list[Entry] = []
        unloaded: list[list[Entry]] = []
        unfinished = Unfinished()
        results = self._computation.compute(
            wanted,
            heavy=None if alone else heavy,
            heavy_in_hand=self.heavy.in_hand,
            unloaded=None if waits_for_load else unloaded,
            unfinished=None if alone else unfinished,
            others_wait=self.unfinished.count() > 0,
        )
        if unfinished.works or unfinished.entries:
            self.unfinished.take(unfinished)
        for version in unloaded:
            self.unloaded.take(version)
        self.heavy.learn(wanted, heavy)
        self.heavy.take(heavy)
        milliseconds = self._finish(results, start)
        if results:
            self._limit.learn(milliseconds, images=len(results) + len(unfinished.works))
        log.debug("batch_predicted", extra={"size": len(results), "ms": milliseconds})
        return MicroBatch(len(wanted), milliseconds)

    def _run_loaded(self, entries: Sequence[Entry]) -> None:
        """Predict entries whose version is loaded by now, or failed to be; called in the thread that loaded it."""
        suspects = [entry for entry in entries if entry.attempts > 1]
        others = [entry for entry in entries if entry.attempts <= 1]
        if suspects:
            self._lanes.hand_back(suspects)  # taken over again, they have nothing to wait for
        if others:
            with bound(model=self._model), self._slots.shared(), self._leased.hold(others):
                self._predict(others, waits_for_load=True)

    def _run_part(self, unfinished: Unfinished) -> None:
        """Predict a part of the unfinished pictures; those that nobody waits for any more are left out."""
        entries = unfinished.all_entries()
        with (
            bound(model=self._model),
            self._slots.shared(after_others=True),
            self._leased.hold(entries, longest=self._tuning().timeout),
        ):
            unfinished.keep({(entry.lane, entry.id) for entry in self._lanes.begin(entries)})
            start = self._tracing.begin(self._monotonic())
            self._finish(self._computation.compute_part(unfinished), start)

    def _run_heavy(self, entry: Entry) -> None:
        """Predict one heavy image while micro-batches go on: only its forward pass holds a slot."""
        with bound(model=self._model):
            start = self._tracing.begin(self._monotonic())
            with self._slots.beside():
                decoded = self._computation.decode_heavy(entry)
            if isinstance(decoded, Result):
                self._finish([decoded], start, heavy=True)
                return
            with self._slots.shared(), self._leased.hold([entry]):
                results = decoded()
            self._finish(results, start, heavy=True)

    def _finish(self, results: Sequence[Result], start: float, *, heavy: bool = False) -> float:
        """Finish the jobs of results that were computed together since `start`; return the milliseconds of that.

        Images of the shadow's share are kept for it, but for `heavy` ones: it would take too long. Images that another
        worker is to compute are handed back and stay unfinished.
        """
        results = self._left.hand_back(results)
        milliseconds = round((self._monotonic() - start) * 1000, 3)
        if results:
            run = write_run(batch_size=len(results), predict_ms=milliseconds, worker=self._worker)
            self._observer.computed(results)
            with self._observer.metrics.finish.time():
                offer = self._shadow.offer(results, heavy=heavy) if self._shadow is not None else None
                self._lanes.finish(results, run=run, shadow=offer)
        self._tracing.finish(results)
        return milliseconds
