"""A loaded model version: takes images, gives one JSON output for each.

A version whose exported graph has a fixed batch size works too, in portions of that size, the last one filled up with
its last image. Exported with a batch size of one it costs a forward pass an image: export with a free batch dimension.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from worker.decode.fast_decoder import FastDecoder
from worker.models.compute_mode import REFERENCE, ChosenMode
from worker.models.errors import OutOfMemory
from worker.models.memory import raising_out_of_memory
from worker.models.model_metadata import ModelMetadata
from worker.models.noise import noise
from worker.models.outputs.classification import scores_to_json, unique_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT: Final = ChosenMode(*REFERENCE, agreement=None)
_LONGEST_PASS: Final = 0.1
"""Seconds that a pass of noise may keep a CPU from images of the version that serves; larger passes are left out."""
_PAUSE: Final = 0.005
"""Seconds between two passes of noise: a lock that is taken again at once does not reach the thread that waits."""


class ForwardPass(Protocol):
    """A version's forward pass on its device."""

    largest_pass: int | None
    """Images that are computed at once at most; None: as many as a micro-batch has."""

    def prepare(self, batch_size: int) -> None:
        """Take what memory batches of this size need; raises what torch raises where there is too little."""

    def scores(self, images: Sequence[Any]) -> "NDArray[np.float32]":
        """Return (images, labels) float32: probabilities, or the raw scores if the metadata asks for those."""


class LoadedModel:
    """One version on one device. Threads may share it."""

    def __init__(
        self,
        forward: ForwardPass,
        *,
        metadata: ModelMetadata,
        device: str,
        mode: ChosenMode = _EXACT,
        fast_decoder: FastDecoder | None = None,
    ) -> None:
        self.spec = metadata.spec
        self.labels = metadata.labels
        self._names = unique_labels(metadata.labels)
        self.top_k = metadata.top_k
        self.task = metadata.task
        self.options = metadata.options()
        """What decides the form of the task's outputs, as JSON."""
        self.warnings = metadata.warnings
        """What is probably a mistake of whoever registered the version, in words for people."""
        self.device = device
        self.decode = mode.decode
        self.precision = mode.precision
        self.agreement = mode.agreement
        """How far the scores agree with those of fp32 and exact decoding; None where nothing is lost."""
        self.fast_decoder = fast_decoder
        self._forward = forward

    def predict(self, images: Sequence[object]) -> list[bytes]:
        """Return one output (JSON) for each image.

        Images are uint8 (height, width, channels) as `decode` returns them, or what `fast_decoder` returned. Raises
        OutOfMemory if the device has too little memory for so many, ModelError for scores that can't be used.
        """
        with raising_out_of_memory(self.device):
            scores = self._forward.scores(images)
        return scores_to_json(scores, labels=self.labels, top_k=self.top_k, names=self._names)

    def warm_up(self, batch_size: int) -> None:
        """Predict noise, one image and then more: the first passes are slow, and should not be those of real images.

        Between passes the device is given up, for images of the version that serves. Checks, too, that the version's
        scores fit its labels. Raises as `predict` does, except that a batch that needs too much memory is halved.
        """
        images = noise(self.spec, batch_size)
        self.predict(images[:1])
        if self._forward.largest_pass is None:
            self._warm_up_batches(images)
        else:
            self._warm_up_passes(images[: self._forward.largest_pass])

    def _warm_up_passes(self, images: Sequence[object]) -> None:
        """Predict 2, 4, 8, … images while that is quick: what larger passes are slower at first is little."""
        size, seconds = 2, 0.0
        while size <= len(images) and 2 * seconds <= _LONGEST_PASS:
            time.sleep(_PAUSE)
            began = time.monotonic()
            try:
                self.predict(images[:size])
            except OutOfMemory:
                return
            # The first pass of several computes twice, to compare memory formats.
            seconds = (time.monotonic() - began) / (2 if size == 2 else 1)  # noqa: PLR2004
            size *= 2

    def _warm_up_batches(self, images: Sequence[object]) -> None:
        """Prepare for batches of this many images and predict one; half as many where memory is too short."""
        batch_size = len(images)
        while batch_size >= 1:
            time.sleep(_PAUSE)
            try:
                with raising_out_of_memory(self.device):
                    self._forward.prepare(batch_size)
                self.predict(images[:batch_size])
            except OutOfMemory:
                if batch_size == 1:
                    raise
                batch_size //= 2
            else:
                return
