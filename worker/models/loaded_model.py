"""A loaded model version: takes images, gives one JSON output for each.

A version whose exported graph has a fixed batch size works too, in portions of that size, the last one filled up with
its last image. Exported with a batch size of one it costs a forward pass an image: export with a free batch dimension.
"""

import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

import orjson

from shared.domain.task import Task
from worker.decode.fast_decoder import FastDecoder
from worker.decode.sized_pixels import SizedPixels
from worker.models.compute_mode import COMPARED_TASKS, REFERENCE, ChosenMode
from worker.models.errors import OutOfMemory
from worker.models.memory import raising_out_of_memory
from worker.models.metadata.model_metadata import ModelMetadata
from worker.models.noise import noise
from worker.models.outputs.by_task import output_writer
from worker.models.outputs.labels import unique_labels
from worker.models.outputs.probabilities import already_probabilities
from worker.models.outputs.writer import Output
from worker.models.own_modules import OwnModules
from worker.models.process_settings import noted_changes
from worker.models.refused_input import note_input

_EXACT: Final = ChosenMode(*REFERENCE, agreement=None)
_SCORED: Final = (Task.CLASSIFICATION, Task.MULTILABEL)
_LONGEST_PASS: Final = 0.1
"""Seconds that a pass of noise may keep a CPU from images of the version that serves; larger passes are left out."""
_PAUSE: Final = 0.005
"""Seconds between two passes of noise: a lock that is taken again at once does not reach the thread that waits."""


class ForwardPass(Protocol):
    """A version's forward pass on its device."""

    largest_pass: int | None
    """Images that are computed at once at most; None: as many as a micro-batch has."""
    enough: int | None
    """Images of a micro-batch from which on more cost as much each; None: the more, the cheaper."""

    own_modules: OwnModules | None
    """The modules that the version brought with it; None where it has none."""

    def prepare(self, batch_size: int) -> None:
        """Take what memory batches of this size need; raises what torch raises where there is too little."""

    def outputs(self, images: Sequence[Any], *, activate: bool = True) -> Any:
        """Return what the version's reader (`worker.models.outputs.readers`) makes of the images' outputs.

        For a classification (images, labels) float32: probabilities, or the raw scores if the metadata asks for those,
        or if `activate` is false.
        """


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
        self.names = unique_labels(metadata.labels) if metadata.task in _SCORED else ()
        """The classes that each have a score, all different; empty for other tasks."""
        self.top_k = metadata.top_k
        self.task = metadata.task
        self.options = metadata.options()
        """What decides the form of the task's outputs, as JSON."""
        self.warnings: tuple[str, ...] = metadata.warnings
        """What is probably a mistake of whoever registered the version, in words for people."""
        self.device = device
        self.decode = mode.decode
        self.precision = mode.precision
        self.agreement = mode.agreement
        """How far the scores agree with those of fp32 and exact decoding; None where nothing is lost."""
        self.fast_decoder = fast_decoder
        self.memory_bytes = 0
        """What it takes of its device's memory: its weights once it is loaded, more once it is warm."""
        self._forward = forward
        self.enough = forward.enough
        """As in ForwardPass."""
        self._writer = output_writer(metadata)
        self._activation = metadata.activation
        self.needs_size = self._writer.needs_size
        """Whether images have to come as SizedPixels: the outputs lie in the original picture."""

    def set_own_modules(self, own: OwnModules) -> None:
        """Find these modules first in each pass from now on."""
        self._forward.own_modules = own or None

    def predict(self, images: Sequence[Any]) -> Sequence[Output]:
        """Return one output (JSON) for each image, or a ModelError for one whose output can't be used.

        Images are uint8 (height, width, channels) as `decode` returns them, or what `fast_decoder` returned; with the
        picture's size where `needs_size`. Raises OutOfMemory if the device has too little memory for so many,
        ModelError for outputs that fit the version for no image.
        """
        return self.predict_scored(images)[0]

    def predict_scored(self, images: Sequence[Any]) -> tuple[Sequence[Output], Any]:
        """Return what `predict` returns, and the scores (images, labels) that it was written from.

        None in place of the scores where the task has no score a class. Raises as `predict` does.
        """
        if not self.needs_size:
            with raising_out_of_memory(self.device):
                found = self._forward.outputs(images)
            return self._writer.write(found), found if self.names else None
        with raising_out_of_memory(self.device):
            found = self._forward.outputs([image.pixels for image in images])
        return self._writer.write(found, [image.size for image in images]), None

    def write_scores(self, scores: Any) -> Sequence[Output]:
        """Return the outputs of scores (images, labels), as `predict` writes those of a forward pass."""
        return self._writer.write(scores)

    def warm_up(self, batch_size: int) -> None:
        """Predict noise, one image and then more: the first passes are slow, and should not be those of real images.

        Between passes the device is given up, for images of the version that serves. What passes change for the whole
        process is added to the warnings. Checks, too, that the version's outputs fit its task and labels. Raises as
        `predict` does, and the error of an image that has no output; except that a batch that needs too much memory is
        halved.
        """
        try:
            with noted_changes() as changed:
                self._warm_up(batch_size)
        except Exception as error:
            note_input(error, self.spec)
            raise
        if changed:
            told = f"each pass of it changes {', '.join(changed)} for every model of the process, which is undone"
            self.warnings = (*self.warnings, told)

    def _warm_up(self, batch_size: int) -> None:
        largest = self._forward.largest_pass
        images = noise(self.spec, batch_size if largest is None else min(batch_size, largest))
        self._learn(self._tried(images[:1])[0])
        self._warn_of_probabilities(images)
        if largest is None:
            self._warm_up_batches(images)
        else:
            self._warm_up_passes(images)

    def _warm_up_passes(self, images: Sequence[object]) -> None:
        """Predict 2, 4, 8, … images while that is quick: what larger passes are slower at first is little."""
        size, seconds = 2, 0.0
        while size <= len(images) and 2 * seconds <= _LONGEST_PASS:
            time.sleep(_PAUSE)
            began = time.monotonic()
            try:
                self._tried(images[:size])
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
                self._tried(images[:batch_size])
            except OutOfMemory:
                if batch_size == 1:
                    raise
                batch_size //= 2
            else:
                return

    def _tried(self, images: Sequence[Any]) -> list[bytes]:
        """Return the outputs of images of noise; raises the error of one that has none."""
        if self.needs_size:
            images = [SizedPixels(image, (image.shape[1], image.shape[0])) for image in images]
        written = []
        for output in self.predict(images):
            if not isinstance(output, bytes):
                raise output
            written.append(output)
        return written

    def _learn(self, output: bytes) -> None:
        """Note what an output tells of the form of all of them."""
        if self.task is Task.EMBEDDING:
            self.options["dimensions"] = orjson.loads(output)["dimensions"]
        elif self.task is Task.REGRESSION and not self.options["values"]:
            self.options["values"] = dict.fromkeys(orjson.loads(output)["values"])

    def _warn_of_probabilities(self, images: Sequence[Any]) -> None:
        """Add a warning where the model answers with probabilities already."""
        if self.task not in COMPARED_TASKS:
            return
        warning = already_probabilities(
            self._activation, lambda number: self._forward.outputs([images[number]], activate=False)
        )
        if warning is not None:
            self.warnings = (*self.warnings, warning)
