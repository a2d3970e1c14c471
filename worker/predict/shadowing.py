"""Predicts images by a model's shadow after the champion has answered them, only while nobody waits for an answer.

A pass is short: as many images as take about 10 ms, one at first. An image that arrives meanwhile waits for one pass at
most, and only where it would have been computed by this worker.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

import orjson

from shared.domain.identifiers import Digest, ModelName, Owner
from shared.domain.output_agreement import outputs_agree
from shared.observability.logs import bound
from shared.observability.metrics import ShadowMetrics
from shared.queue.consumer.entries import Entry, Result
from shared.queue.consumer.shadow_lane import ShadowAnswer, ShadowEntry, ShadowLane
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.predict.batch_limit import BatchLimit
from worker.predict.batch_tracing import UNTRACED, Untraced
from worker.predict.computation import Computation
from worker.predict.decoding import Decoding
from worker.predict.leases import LeasedEntries
from worker.predict.limits import Limits
from worker.predict.model_protocols import Models
from worker.predict.shadow_intake import HEAVY, ShadowIntake
from worker.predict.slots import BatchSlots

log = logging.getLogger(__name__)

PASS: Final = timedelta(milliseconds=10)
"""How long a shadow's pass should take."""
MOST_IMAGES: Final = 16
NOT_LOADED, RESULTS_FULL = "not_loaded", "results_full"

Disagreement = Callable[[Owner, Digest, bytes], object]


class Shadowing:
    """Runs one model's shadow; called from one thread.

    Killed at any line: entries stay pending until their lease ends; then one runs alone, and after a second death it
    fails. An answer that is written is an entry that is gone, in one step.
    """

    def __init__(  # noqa: PLR0913  what a worker has one of is handed in, not looked for
        self,
        lane: ShadowLane,
        *,
        model: ModelName,
        models: Models,
        intake: ShadowIntake,
        limits: Limits,
        slots: BatchSlots,
        leased: LeasedEntries,
        metrics: ShadowMetrics,
        decoders: DecoderPool,
        threads: DecodeThreads,
        on_disagreement: Disagreement = lambda *_: None,
        tracing: Untraced = UNTRACED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_disagreement` is called, once an answer is written, with the owner, digest and bytes of its image."""
        self._lane = lane
        self._model = model
        self._slots = slots
        self._leased = leased
        self._longest = limits.longest
        self._metrics = metrics
        self._on_disagreement = on_disagreement
        self._tracing = tracing
        self._monotonic = monotonic
        # A limit of its own: what the shadow runs out of memory for must not lower the champion's.
        self._limit = BatchLimit(limits.batching, monotonic=monotonic)
        decoding = Decoding(decoders=decoders, threads=threads, max_pixels=limits.max_pixels)
        self._computation = Computation(
            models, pipelines=None, decoding=decoding, metrics=metrics, limit=self._limit, step=tracing.step
        )
        self._milliseconds_each = PASS / timedelta(milliseconds=1)
        self.intake = intake

    def run_pass(self, served: Iterable[ModelName]) -> bool:
        """Predict a few images if nobody waits for an image of the models in `served`; return whether there were any.

        Raises what Redis raises.
        """
        if self._slots.busy:
            return False
        with bound(model=self._model):
            with self._slots.shared():
                taken = self._lane.take(self._images(), served=served)
                if taken and taken[0].entry.attempts == 1:
                    self._predict(taken, alone=False)
            if taken and taken[0].entry.attempts > 1:
                with self._slots.alone():
                    self._predict(taken, alone=True)
        return bool(taken)

    def has_images(self) -> bool:
        """Tell whether images wait or are being computed. Raises what Redis raises."""
        return not self._lane.is_empty()

    def _images(self) -> int:
        """Return how many images one pass takes."""
        fitting = int(PASS / timedelta(milliseconds=1) / self._milliseconds_each)
        return max(1, min(fitting, MOST_IMAGES, self._limit.images()))

    def _predict(self, taken: Sequence[ShadowEntry], *, alone: bool) -> None:
        """Compute, compare with the champion's outputs, and write the answers."""
        entries = [one.entry for one in taken]
        heavy: list[Entry] = []
        unloaded: list[list[Entry]] = []
        with self._leased.hold(entries, longest=self._longest):
            start = self._tracing.begin(self._monotonic())
            results = self._computation.compute(
                entries, heavy=None if alone else heavy, heavy_in_hand=lambda: 0, unloaded=unloaded
            )
            milliseconds = round((self._monotonic() - start) * 1000, 3)
            answered = {result.entry.id: result for result in results}
            answers = [_answer(one, answered.get(one.entry.id), milliseconds) for one in taken]
            _, dropped = self._lane.finish(answers)
            self._tracing.finish(results)
        if results:
            self._milliseconds_each = 0.8 * self._milliseconds_each + 0.2 * milliseconds / len(results)
        self._metrics.skip(HEAVY, len(heavy))
        self._metrics.skip(NOT_LOADED, sum(map(len, unloaded)))
        self._metrics.skip(RESULTS_FULL, dropped)
        self._tell(answers)

    def _tell(self, answers: Sequence[ShadowAnswer]) -> None:
        for one in answers:
            if one.code:
                log.warning(
                    "shadow_failed",
                    extra={"prediction_id": one.shadowed.prediction, "error_code": one.code, "error": one.error},
                )
            if one.agrees is False:
                with suppress(Exception):  # keeping a picture must not cost an answer
                    self._on_disagreement(one.shadowed.owner, one.shadowed.digest, one.shadowed.entry.image)


def _answer(shadowed: ShadowEntry, result: Result | None, milliseconds: float) -> ShadowAnswer:
    """Return what the shadow answered; without a result the image is left out."""
    if result is None:
        return ShadowAnswer(shadowed=shadowed)
    return ShadowAnswer(
        shadowed=shadowed,
        state=result.state,
        output=result.output,
        error=result.error,
        code=result.code,
        agrees=_agrees(shadowed.champion_output, result.output),
        predict_ms=milliseconds,
    )


def _agrees(champion: bytes, shadow: bytes) -> bool | None:
    return outputs_agree(orjson.loads(champion), orjson.loads(shadow)) if champion and shadow else None
