"""What predicting needs of a loaded version and of what loads it."""

from collections.abc import Sequence
from typing import Protocol

from shared.domain.identifiers import VersionKey
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


class Models(Protocol):
    """Where loaded versions come from."""

    def has_to_load(self, key: VersionKey) -> bool:
        """Tell whether `loaded` would load the version now, which takes seconds."""

    def loaded(self, key: VersionKey) -> Model:
        """Return the version, loading it if need be; raises ModelUnavailable."""
