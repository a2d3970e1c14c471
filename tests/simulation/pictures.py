"""Images whose pixels encode a number, and a model that reads it back."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from PIL import Image

from shared.domain.image import ImageSpec
from tests.simulation.scheduler import die, pause
from worker.models.errors import ModelUnavailable

POISON = 1
"""The picture that kills the process which computes it."""
RAISES = 2
"""The picture the model can't take."""
UNREADABLE = 3
"""The picture that can't be decoded."""


def picture(number: int) -> bytes:
    """Return a 1×1 PNG that encodes the number; UNREADABLE is cut short."""
    file = BytesIO()
    Image.new("RGB", (1, 1), (number >> 16 & 255, number >> 8 & 255, number & 255)).save(file, "PNG")
    data = file.getvalue()
    return data[:-24] if number == UNREADABLE else data


class PictureModel:
    """Answers with its version and the picture's number."""

    spec = ImageSpec(resize_size=None, crop_size=(1, 1))
    fast_decoder = None
    needs_size = False
    enough: int | None = None

    def __init__(self, version: str, *, pauses: int) -> None:
        self._version = version
        self._pauses = pauses

    names: tuple[str, ...] = ()

    def predict_scored(self, images: Sequence[Any]) -> tuple[list[bytes], None]:
        return self.predict(images), None

    def write_scores(self, _: Any) -> list[bytes]:
        raise NotImplementedError("pictures have no scores")

    def predict(self, images: Sequence[Any]) -> list[bytes]:
        numbers = [(int(i[0, 0, 0]) << 16) + (int(i[0, 0, 1]) << 8) + int(i[0, 0, 2]) for i in images]
        for _ in range(self._pauses):
            pause()
        if POISON in numbers:
            die()
        if RAISES in numbers:
            raise ValueError("no such picture")
        return [output(self._version, number) for number in numbers]


class PictureModels:
    """All versions of the model; other actors run while one computes."""

    def __init__(self, *, pauses: int = 0) -> None:
        self._pauses = pauses

    def has_to_load(self, _: str) -> bool:
        return False

    def loaded(self, key: str) -> PictureModel:
        return PictureModel(key, pauses=self._pauses)


class NoModels:
    """The versions of a worker that can load none."""

    def has_to_load(self, _: str) -> bool:
        return False

    def loaded(self, key: str) -> PictureModel:
        raise ModelUnavailable(f"{key} can't be loaded here")


def output(version: str, number: int) -> bytes:
    """Return what the model answers."""
    return f'"{version}|{number}"'.encode()
