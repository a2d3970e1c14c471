"""What predicting needs of a loaded version and of what loads it."""

from collections.abc import Sequence
from typing import Any, Protocol

from shared.domain.identifiers import ModelName, VersionKey
from shared.domain.image import ImageSpec
from worker.decode.fast_decoder import FastDecoder
from worker.models.errors import ModelError


class Model(Protocol):
    """A loaded version: `worker.models.loaded_model` on a device, or a test's."""

    spec: ImageSpec
    fast_decoder: FastDecoder | None
    """None for a version whose images are decoded exactly."""
    enough: int | None
    """Images of a micro-batch from which on more cost as much each; None: the more, the cheaper."""
    needs_size: bool
    """Whether it takes SizedPixels: its outputs lie in the picture."""

    def predict(self, images: Sequence[object]) -> Sequence[bytes | ModelError]:
        """Return one output (JSON) an image, or why it has none.

        An image is pixels (height, width, channels), with the picture's size if `needs_size`, or what `fast_decoder`
        gave. Raises OutOfMemory, or anything else for images it can't take.
        """


class Member(Model, Protocol):
    """A loaded version as a pipeline asks it."""

    names: tuple[str, ...]
    """The classes that each have a score, all different; empty for tasks without."""

    def predict_scored(self, images: Sequence[object]) -> tuple[Sequence[bytes | ModelError], Any]:
        """Return what `predict` returns, and the scores (images, classes), None for tasks without; raises as that."""

    def write_scores(self, scores: Any) -> Sequence[bytes | ModelError]:
        """Return the outputs of scores (images, classes), as `predict` writes them."""


class Members(Protocol):
    """Where the versions of a pipeline come from, of whichever models. Threads may share it."""

    def has_to_load(self, model: ModelName, key: VersionKey) -> bool:
        """Tell whether `loaded` would load the version now, which takes seconds."""

    def loaded(self, model: ModelName, key: VersionKey) -> Member:
        """Return the version, loading it if need be; raises ModelUnavailable."""


class Models(Protocol):
    """Where loaded versions come from."""

    def has_to_load(self, key: VersionKey) -> bool:
        """Tell whether `loaded` would load the version now, which takes seconds."""

    def loaded(self, key: VersionKey) -> Model:
        """Return the version, loading it if need be; raises ModelUnavailable."""
