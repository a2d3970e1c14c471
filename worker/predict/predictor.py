"""Micro-batches, end to end: pull, decode, one forward pass, finish; batch after batch while there is work.

A bad image fails alone: what can't be decoded never reaches the model, a batch that raises is halved until the
culprit is by itself, and an image that ends its process is claimed by the next one and run with nothing beside it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypedDict

import orjson

from shared.domain.identifiers import ModelName, VersionKey
from shared.domain.image import ImageSpec
from shared.domain.prediction import ErrorCode, Status
from shared.image_files.formats import HEAVY
from shared.observability.logs import bound
from shared.queue.consumer.lanes import Call, Entry, Heavy, Lanes, Result
from shared.settings import Batching
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import decode, estimated_work
from worker.predict.batch_observer import BatchObserver
from worker.predict.heavy_images import DecoderPool, HeavyImages
from worker.predict.leases import BatchSlots, LeasedEntries

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

log = logging.getLogger(__name__)

LOWERED_FOR = timedelta(minutes=10)
"""How long a batch limit stays halved after memory was short."""
# Two round trips, which no lease of seconds needs with every batch.
RECLAIM_PAUSE = timedelta(milliseconds=500)
MOST_HEAVY = 64
"""Heavy images in hand at most: so many come with the first pull from a lane of which nothing is known."""


class ModelUnavailable(Exception):
    """A version can't be loaded; says why."""


class OutOfMemory(Exception):
    """The device has no room for a batch of this size."""


class Model(Protocol):
    """A loaded version: `worker.models.loaded_model` on a device, or a test's."""

    spec: "ImageSpec"

    def predict(self, images: "Sequence[Pixels]") -> list[bytes]:
        """Return one output (JSON) an image; raises OutOfMemory, or anything else for an image it can't take."""


class Models(Protocol):
    """Where loaded versions come from."""

    def loaded(self, key: VersionKey) -> Model:
        """Return the version, loading it if need be; raises ModelUnavailable."""


class PredictReport(TypedDict):
    """What Flower shows of a predict task, whose list has room for about the first three.

    `batch_size` is the batches' mean, `ms` are the milliseconds of decoding and forward passes.
    """

    model: str
    batch_size: float
    ms: float
    images: int
    batches: int


class Batch(NamedTuple):
    """How many images were computed, and how long decoding and forward passes took."""

    size: int
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch and a turn may take."""

    batching: Batching
    max_pixels: int
    turn: timedelta


class Predictor:
    """Predicts micro-batches of one model; called from the worker's pool and from its tick."""

    def __init__(  # noqa: PLR0913  what a worker has one of is handed in, not looked for
        self,
        *,
        model: ModelName,
        worker: str,
        lanes: Lanes,
        models: Models,
        limits: Limits,
        turns: BatchSlots,
        in_hand: LeasedEntries,
        observer: BatchObserver,
        decoders: DecoderPool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._worker = worker
        self._lanes = lanes
        self._models = models
        self._limits = limits
        self._turns = turns
        self._in_hand = in_hand
        self._observer = observer
        self._decoders = decoders
        self.heavy = HeavyImages(decoders.count, compute=self._run_heavy, on_room=lanes.ring)
        self._monotonic = monotonic
        self._batch_limit = limits.batching.max_batch_size
        self._lowered_until = 0.0
        self._next_look = 0.0
        self._milliseconds_each = 0.0

    def run(self, token: str) -> PredictReport:
        """Answer a bell (or, with an empty token, a tick) with batch after batch, until no work or the turn is over.

        A bell costs Celery about a millisecond, a batch of small images costs less. Killed at any line: what was
        pulled stays pending under this consumer until its lease ends, then runs alone.
        """
        over = self._monotonic() + self._limits.turn.total_seconds()
        report = PredictReport(model=self._model, batch_size=0.0, ms=0.0, images=0, batches=0)
        with bound(model=self._model):
            call = self._lanes.answer(token)
            if call is None:
                return report
            while _add(report, self._run_one(call)) and self._monotonic() < over:
                pass
            # Last, because it takes two round trips, which nobody whose image is new should wait for.
            if self._sees_suspects():
                _add(report, self._run_suspect())
        return report

    def _run_suspect(self) -> Batch:
        """Predict one image whose worker is gone, with nothing beside it."""
        # More may be waiting, and a suspect may end the process: call another worker first.
        self._lanes.ring()
        # Claimed only once nothing else runs here: whatever else the process held would die and be suspected too.
        with self._turns.alone():
            suspect = self._lanes.reclaim()
            if suspect is None:
                return Batch(0, 0.0)
            self._observer.took_over(suspect)
            with self._in_hand.hold([suspect]):
                return self._predict([suspect], alone=True)

    def _run_one(self, call: Call) -> Batch:
        """Predict at most one batch."""
        with self._turns.shared():
            self._restore_limit()
            pull = self._lanes.pull(
                self._batch_limit, bulk=call.bulk, beside=self._beside_people(), heavy=self._room_for_heavy()
            )
            entries = pull.entries
            with self._in_hand.hold(entries):
                if not pull.lanes_empty:
                    self._lanes.pass_on(call)
                elif entries and self._limits.batching.max_wait:
                    entries += self._wait_for_more(room=self._batch_limit - len(entries))
                self._observer.pulled(entries)
                return self._predict(entries)

    def _beside_people(self) -> int:
        """Return how many images of a batch are computed in the time that people may wait for others'; at least two."""
        milliseconds = self._limits.batching.beside_people / timedelta(milliseconds=1)
        if milliseconds >= self._milliseconds_each * self._batch_limit:
            return self._batch_limit
        return max(2, int(milliseconds / self._milliseconds_each))

    def _restore_limit(self) -> None:
        """Try full batches again, a while after memory was short: what else was on the device may be gone."""
        if self._monotonic() >= self._lowered_until:
            self._batch_limit = self._limits.batching.max_batch_size

    def _sees_suspects(self) -> bool:
        """Look for work of a worker that is gone, now and then; where there was one there may be more."""
        now = self._monotonic()
        if now < self._next_look:
            return False
        found = self._lanes.has_suspects()
        if not found:
            self._next_look = now + RECLAIM_PAUSE.total_seconds()
        return found

    def _wait_for_more(self, *, room: int) -> list[Entry]:
        time.sleep(self._limits.batching.max_wait.total_seconds())
        return self._lanes.pull(room, heavy=self._room_for_heavy()).entries if room > 0 else []

    def _room_for_heavy(self) -> Heavy:
        return Heavy(self.heavy.room(), self.heavy.lanes())

    def _run_heavy(self, entry: Entry) -> None:
        """Predict one image that takes long to decode, its batch gone on: only its forward pass takes a turn."""
        with bound(model=self._model):
            start = self._monotonic()
            with self._turns.beside():
                decoded = self._decode_elsewhere(entry)
            if isinstance(decoded, Result):
                self._finish([decoded], start)
                return
            model, pixels = decoded
            with self._turns.shared(), self._in_hand.hold([entry]), self._observer.metrics.forward.time():
                results = self._forward(model, [(entry, pixels)])
            self._finish(results, start)

    def _decode_elsewhere(self, entry: Entry) -> "Result | tuple[Model, Pixels]":
        """Return the pixels from a process of the decoders', with the model for them; or how the image failed."""
        try:
            model = self._models.loaded(entry.version)
            with self._observer.metrics.decode.time():
                return model, self._decoders.decode(entry.image, model.spec)
        except ModelUnavailable as error:
            return _failure(entry, ErrorCode.MODEL_UNAVAILABLE, str(error))
        except Undecodable as error:
            return _failure(entry, ErrorCode.UNDECODABLE_IMAGE, str(error))

    def _predict(self, entries: Sequence[Entry], *, alone: bool = False) -> Batch:
        """Begin, compute and finish; entries nobody waits for any more are left out.

        Those that take long to decode are handed to the room for them and finish later, but for one that runs alone.
        """
        wanted = self._lanes.begin(entries)
        if not wanted:
            return Batch(0, 0.0)
        start = self._monotonic()
        heavy: list[Entry] = []
        room = None if alone else heavy
        results = [result for batch in _by_version(wanted) for result in self._compute(batch, heavy=room)]
        self.heavy.learn(wanted, heavy)
        self.heavy.take(heavy)
        milliseconds = self._finish(results, start)
        if results:
            self._milliseconds_each = 0.8 * self._milliseconds_each + 0.2 * milliseconds / len(results)
        log.debug("batch_predicted", extra={"size": len(results), "ms": milliseconds})
        return Batch(len(wanted), milliseconds)

    def _finish(self, results: Sequence[Result], start: float) -> float:
        """End the jobs behind the results, computed together since `start`; return the milliseconds that took."""
        milliseconds = round((self._monotonic() - start) * 1000, 3)
        if results:
            run = {"batch_size": len(results), "predict_ms": milliseconds, "worker": self._worker}
            self._observer.computed(results)
            with self._observer.metrics.finish.time():
                self._lanes.finish(results, run=orjson.dumps(run))
        return milliseconds

    def _compute(self, entries: Sequence[Entry], *, heavy: list[Entry] | None) -> list[Result]:
        """Decode and predict entries of one version; those that take long to decode are added to `heavy` instead.

        Without it, and where too many are in hand already, they are decoded elsewhere while this waits.
        """
        try:
            model = self._models.loaded(entries[0].version)
        except ModelUnavailable as error:
            return [_failure(entry, ErrorCode.MODEL_UNAVAILABLE, str(error)) for entry in entries]
        results: list[Result] = []
        decoded: list[tuple[Entry, Pixels]] = []
        with self._observer.metrics.decode.time():
            for entry in entries:
                try:
                    if estimated_work(entry.image, model.spec) <= HEAVY:
                        decoded.append((entry, decode(entry.image, model.spec, max_pixels=self._limits.max_pixels)))
                    elif heavy is not None and len(heavy) + self.heavy.in_hand() < MOST_HEAVY:
                        heavy.append(entry)
                    else:
                        decoded.append((entry, self._decoders.decode(entry.image, model.spec)))
                except Undecodable as error:
                    results.append(_failure(entry, ErrorCode.UNDECODABLE_IMAGE, str(error)))
        if decoded:
            with self._observer.metrics.forward.time():
                results += self._forward(model, decoded)
        return results

    def _forward(self, model: Model, decoded: "Sequence[tuple[Entry, Pixels]]") -> list[Result]:
        """Predict, halving what raises until the culprit is alone; running out of memory lowers the batch limit."""
        try:
            outputs = model.predict([image for _, image in decoded])
            return [
                Result(entry, Status.SUCCEEDED, output=output)
                for (entry, _), output in zip(decoded, outputs, strict=True)
            ]
        except Exception as error:  # noqa: BLE001  whatever a model raises must fail one image, not the batch
            reason, out_of_memory = _words(error), isinstance(error, OutOfMemory)
        # Outside the except block: the error's frames hold what the failed pass left on the device.
        half = len(decoded) // 2
        if out_of_memory:
            self._batch_limit = max(1, min(self._batch_limit, half))
            self._lowered_until = self._monotonic() + LOWERED_FOR.total_seconds()
            log.warning("out_of_memory", extra={"batch_limit": self._batch_limit})
        if half == 0:
            return [_failure(decoded[0][0], ErrorCode.MODEL_ERROR, reason)]
        return self._forward(model, decoded[:half]) + self._forward(model, decoded[half:])


def _add(report: PredictReport, batch: Batch) -> bool:
    """Count a batch in the report; False where it was empty."""
    if batch.size:
        report["batches"] += 1
        report["images"] += batch.size
        report["batch_size"] = round(report["images"] / report["batches"], 1)
        report["ms"] = round(report["ms"] + batch.milliseconds, 3)
    return batch.size > 0


def _by_version(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Group entries by the version they are bound to; nearly always one group."""
    groups: dict[VersionKey, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.version, []).append(entry)
    return list(groups.values())


def _failure(entry: Entry, code: ErrorCode, error: str) -> Result:
    return Result(entry, Status.FAILED, error=_plain(error), code=code)


def _words(error: Exception) -> str:
    """Return what went wrong, with the error's class."""
    return f"{type(error).__name__}: {error}"


def _plain(words: str) -> str:
    """Return the first line that says something, at most 500 characters of what Redis and Postgres take."""
    lines = (line.strip() for line in words.replace("\x00", "").splitlines())
    return next(filter(None, lines), "no reason given").encode(errors="replace").decode()[:500]
