"""Chooses how a version decodes images and in which number format it computes: the fastest mode that agrees.

Agreement is that of the best classes, on the reference photographs that the version is least in doubt about, with the
scores of what the version asks for: where it names a decoding or a precision itself, that is taken as it is and only
the other part is chosen. What is shown is always the agreement with exact decoding and fp32.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.domain.model_route import Agreement
from shared.domain.task import Task
from worker.models.agreement import AGREES, clearest_half, compare, why_meaningless
from worker.models.metadata.model_metadata import Decode, Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.float32]

log = logging.getLogger(__name__)


class ComputeMode(NamedTuple):
    """A decoding and a precision, neither of them `auto`."""

    decode: Decode
    precision: Precision


REFERENCE = ComputeMode(Decode.EXACT, Precision.FP32)
ScoresIn = Callable[[Decode, Precision], "Scores"]
"""Computes the scores (images, labels) of the reference photographs in a mode; may raise where that can't be had."""


@dataclass(frozen=True, slots=True)
class ChosenMode:
    """What was chosen. `agreement` is None for exact decoding and fp32, and where it can't be measured."""

    decode: Decode
    precision: Precision
    agreement: Agreement | None


COMPARED_TASKS: Final = (Task.CLASSIFICATION, Task.MULTILABEL)
"""Tasks whose agreement is defined, as that of the best class. Versions of the others get what they name, `auto` being
exact decoding and fp32."""


def choose_compute_mode(decode: Decode, precision: Precision, scores_in: ScoresIn) -> ChosenMode:
    """Return the fastest mode that a version allows and that agrees, of those that `scores_in` can compute.

    Mostly after two modes, `fast` with fp16 and the reference; after five at most, or seven where fp16 gives no scores.
    """
    if (decode, precision) == REFERENCE:
        return ChosenMode(decode, precision, None)
    reference, reason = _reference(scores_in)
    if reason:
        if decode is Decode.AUTO or precision is Precision.AUTO:
            log.warning("compute_mode_not_compared", extra={"reason": reason[:300]})
        decode, precision = named_mode(decode, precision)
    if reference is None or (decode, precision) == REFERENCE:
        return ChosenMode(decode, precision, None)
    search = _Search(scores_in, reference)
    mode = search.fastest(decode, precision)
    if search.refused:
        log.info("compute_mode_fell_back", extra={**_facts(mode), "refused": search.refused})
    return ChosenMode(*mode, None if mode == REFERENCE else search.agreement(mode))


def named_mode(decode: Decode, precision: Precision) -> ComputeMode:
    """Return what a version names, exact and fp32 where that is auto."""
    return ComputeMode(
        Decode.EXACT if decode is Decode.AUTO else decode,
        Precision.FP32 if precision is Precision.AUTO else precision,
    )


def _reference(scores_in: ScoresIn) -> "tuple[Scores | None, str]":
    """Return the reference's scores, None where they can't be used; and why agreement would say nothing, or ""."""
    try:
        reference = scores_in(*REFERENCE)
        compare(reference, reference)
    except Exception as error:  # noqa: BLE001  a model is code; it may refuse photographs and still serve
        return None, repr(error)
    return reference, why_meaningless(reference)


class _Search:
    """The modes tried for one version. `refused` has those whose scores differ too much, with figures."""

    def __init__(self, scores_in: ScoresIn, reference: "Scores") -> None:
        self._scores_in = scores_in
        self._compared = clearest_half(reference)
        self._reference = reference[self._compared]
        self._tried: dict[ComputeMode, tuple[Scores, Agreement] | None] = {
            REFERENCE: (self._reference, compare(self._reference, self._reference))
        }
        self.refused: list[dict[str, object]] = []

    def fastest(self, decode: Decode, precision: Precision) -> ComputeMode:
        """Return the fastest mode that agrees.

        On a GPU decoding costs more than the forward pass, so `fast` with fp32 is preferred to `exact` with fp16.
        """
        base = self._base(named_mode(decode, precision))
        chooses_decode, chooses_precision = decode is Decode.AUTO, precision is Precision.AUTO
        best = Decode.FAST if chooses_decode else base.decode
        if chooses_precision:
            half = self._half(best, base)
            if half is not None:
                return half
        if chooses_decode and not self._agrees(ComputeMode(Decode.FAST, base.precision), base):
            # Less precision would hardly make up for what decoding changes.
            best = Decode.EXACT
            half = self._half(best, base) if chooses_precision else None
            if half is not None:
                return half
        tf32 = ComputeMode(best, Precision.TF32)
        return tf32 if chooses_precision and self._agrees(tf32, base) else ComputeMode(best, base.precision)

    def agreement(self, mode: ComputeMode) -> Agreement | None:
        """Return a tried mode's agreement with the reference."""
        tried = self._try(mode)
        return tried and tried[1]

    def _base(self, asked: ComputeMode) -> ComputeMode:
        """Return the mode to compare with: what is asked for, or of it what can be computed."""
        decode, precision = asked
        candidates = (asked, ComputeMode(decode, REFERENCE.precision), ComputeMode(REFERENCE.decode, precision))
        return next((mode for mode in candidates if self._try(mode) is not None), REFERENCE)

    def _half(self, decode: Decode, base: ComputeMode) -> ComputeMode | None:
        """Return the mode of half precision that agrees, if one does.

        bf16 is as fast as fp16 and has fp32's range, but 8 significant bits to fp16's 11: it is tried only where fp16
        gives no scores, as for a model whose activations exceed 65,504.
        """
        fp16 = ComputeMode(decode, Precision.FP16)
        half = fp16 if self._try(fp16) is not None else ComputeMode(decode, Precision.BF16)
        return half if self._agrees(half, base) else None

    def _agrees(self, mode: ComputeMode, base: ComputeMode) -> bool:
        """Whether a mode's best classes agree with the base's; if not, its figures are noted, once."""
        tried, wanted = self._try(mode), self._try(base)
        if tried is None or wanted is None:
            return False
        agreement = compare(tried[0], wanted[0])
        if agreement.top1 >= AGREES:
            return True
        figures = {"top1": agreement.top1, "largest_difference": agreement.largest_difference}
        self.refused.append({**_facts(mode), **figures})
        return False

    def _try(self, mode: ComputeMode) -> "tuple[Scores, Agreement] | None":
        """Return a mode's scores of what is compared, and how far they agree; None where there are no usable ones."""
        if mode not in self._tried:
            try:
                scores = self._scores_in(*mode)[self._compared]
                self._tried[mode] = scores, compare(scores, self._reference)
            except Exception as error:  # noqa: BLE001  whatever a kernel or a driver raises, slower modes remain
                log.warning("compute_mode_failed", extra={**_facts(mode), "reason": repr(error)[:300]})
                self._tried[mode] = None
        return self._tried[mode]


def _facts(mode: ComputeMode) -> dict[str, object]:
    return {"decode": str(mode.decode), "precision": str(mode.precision)}
