"""Entries to results: decode, one forward pass for all of a version's images, and a failure for each that has none.

A bad image fails alone: what can't be decoded never reaches the model, an output that can't be used fails its image,
and a micro-batch that raises is halved until the image that makes the model raise is by itself.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from prometheus_client import Histogram

from shared.domain.identifiers import VersionKey
from shared.domain.prediction import ErrorCode, Status
from shared.queue.consumer.entries import Entry, Result
from worker.decode.image_loading import Undecodable
from worker.models.errors import ModelError, ModelUnavailable
from worker.models.failure_text import failure_text, one_line
from worker.predict.batch_limit import BatchLimit
from worker.predict.batch_tracing import Step
from worker.predict.decoding import Decoding
from worker.predict.halving import predict_in_halves
from worker.predict.model_protocols import Model, Models
from worker.predict.pipelines.pipelines import Pipelines
from worker.predict.pipelines.work import Unfinished


class PassTimes(Protocol):
    """Where the seconds of decoding and of forward passes are counted: a model's metrics, or its shadow's."""

    decode: Histogram
    forward: Histogram


class Computation:
    """Computes one model's entries; threads may share it."""

    def __init__(
        self,
        models: Models,
        *,
        pipelines: Pipelines | None,
        decoding: Decoding,
        metrics: PassTimes,
        limit: BatchLimit,
        step: Step,
    ) -> None:
        """`pipelines` is None for a shadow, whose entries are of one version."""
        self._step = step
        self._models = models
        self._pipelines = pipelines
        self._decoding = decoding
        self._metrics = metrics
        self._limit = limit

    def compute(
        self,
        entries: Sequence[Entry],
        *,
        heavy: list[Entry] | None,
        heavy_in_hand: Callable[[], int],
        unloaded: list[list[Entry]] | None,
        unfinished: Unfinished | None = None,
        others_wait: bool = False,
    ) -> list[Result]:
        """Return the entries' results, in no particular order.

        Those whose version is not loaded are added to `unloaded`, a list a version, and have no result yet; where that
        is None, this waits until the version is loaded.

        Heavy images, which take long to decode, are added to `heavy` and have no result yet. Where that is None,
        or too many are in hand (`heavy_in_hand`), this waits for a decoder process to decode them.

        Pictures of pipelines that take more than a micro-batch's forward passes are added to `unfinished`, as
        `Pipelines.compute` says.
        """
        results: list[Result] = []
        piped: list[Entry] = []
        for version in _by_version(entries):
            if unloaded is not None and self._has_to_load(version[0]):
                unloaded.append(version)
            elif version[0].plan:
                piped += version
            else:
                results += self._compute_version(version, heavy=heavy, heavy_in_hand=heavy_in_hand)
        if (
            piped and self._pipelines is not None
        ):  # all of them together: what their steps have in common shares forward passes
            results += self._pipelines.compute(
                piped, heavy=heavy, heavy_in_hand=heavy_in_hand, unfinished=unfinished, others_wait=others_wait
            )
        return results

    def compute_part(self, unfinished: Unfinished) -> list[Result]:
        """Compute a part of the pictures that pipelines left unfinished, as `Pipelines.compute_part` says."""
        return self._pipelines.compute_part(unfinished) if self._pipelines is not None else []

    def load(self, entry: Entry) -> None:
        """Load what an entry needs; raises ModelUnavailable."""
        if entry.plan and self._pipelines is not None:
            self._pipelines.load(entry)
        else:
            self._models.loaded(entry.version)

    def _has_to_load(self, entry: Entry) -> bool:
        if entry.plan and self._pipelines is not None:
            return self._pipelines.has_to_load(entry)
        return self._models.has_to_load(entry.version)

    def _compute_version(
        self, entries: Sequence[Entry], *, heavy: list[Entry] | None, heavy_in_hand: Callable[[], int]
    ) -> list[Result]:
        try:
            model = self._models.loaded(entries[0].version)
        except ModelUnavailable as error:
            return [_failure(entry, ErrorCode.MODEL_UNAVAILABLE, str(error)) for entry in entries]
        self._limit.keep_to(model.enough)
        results: list[Result] = []
        decoded: list[tuple[Entry, object]] = []
        with self._metrics.decode.time(), self._step("decode", entries):
            for entry, pixels in self._decoding.decode(model, entries, heavy=heavy, heavy_in_hand=heavy_in_hand):
                if isinstance(pixels, Undecodable):
                    results.append(_failure(entry, ErrorCode.UNDECODABLE_IMAGE, str(pixels)))
                else:
                    decoded.append((entry, pixels))
        if decoded:
            results += self.forward(model, decoded)
        return results

    def decode_heavy(self, entry: Entry) -> Result | Callable[[], list[Result]]:
        """Decode in a decoder process; return what predicts the image then, or how the image failed."""
        if entry.plan and self._pipelines is not None:
            return self._pipelines.decode_heavy(entry)
        try:
            model = self._models.loaded(entry.version)
        except ModelUnavailable as error:
            return _failure(entry, ErrorCode.MODEL_UNAVAILABLE, str(error))
        with self._metrics.decode.time(), self._step("decode", [entry]):
            pixels = self._decoding.decode_apart(model, entry)
        if isinstance(pixels, Undecodable):
            return _failure(entry, ErrorCode.UNDECODABLE_IMAGE, str(pixels))
        return partial(self.forward, model, [(entry, pixels)])

    def forward(self, model: Model, decoded: Sequence[tuple[Entry, object]]) -> list[Result]:
        """Return the results of one forward pass over all images; where it raises, of more passes over fewer.

        Running out of memory lowers the limit.
        """

        def predict(part: Sequence[tuple[Entry, object]]) -> list[Result]:
            outputs = model.predict([image for _, image in part])
            return [_result(entry, output) for (entry, _), output in zip(part, outputs, strict=True)]

        with self._metrics.forward.time(), self._step("forward", [entry for entry, _ in decoded]):
            return predict_in_halves(decoded, predict, failed=_model_failure, lower=self._limit.lower)


def _by_version(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Group entries by the version they are bound to; nearly always one group."""
    groups: dict[VersionKey, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.version, []).append(entry)
    return list(groups.values())


def _result(entry: Entry, output: bytes | ModelError) -> Result:
    """Return how an image ended that was computed: with an output, or with one that can't be used."""
    if isinstance(output, bytes):
        return Result(entry, Status.SUCCEEDED, output=output)
    return _failure(entry, ErrorCode.MODEL_ERROR, failure_text(output))


def _failure(entry: Entry, code: ErrorCode, error: str) -> Result:
    return Result(entry, Status.FAILED, error=one_line(error), code=code)


def _model_failure(decoded: tuple[Entry, object], reason: str) -> Result:
    return _failure(decoded[0], ErrorCode.MODEL_ERROR, reason)
