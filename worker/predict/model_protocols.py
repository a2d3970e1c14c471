"""What predicting needs of a loaded version and of what loads it."""

from collections.abc import Sequence
from typing import Protocol

from shared.domain.identifiers import VersionKey
from shared.domain.image import ImageSpec
from worker.decode.fast_decoder import FastDecoder


class Model(Protocol):
    """A loaded version: `worker.models.loaded_model` on a device, or a test's."""

    spec: ImageSpec
    fast_decoder: FastDecoder | None
    """None for a version whose images are decoded exactly."""

    def predict(self, images: Sequence[object]) -> list[bytes]:
        """Return one output (JSON) an image, which is pixels (height, width, channels) or what `fast_decoder` gave.

        Raises OutOfMemory, or anything else for an image it can't take.
        """


class Models(Protocol):
    """Where loaded versions come from."""

    def loaded(self, key: VersionKey) -> Model:
        """Return the version, loading it if need be; raises ModelUnavailable."""
