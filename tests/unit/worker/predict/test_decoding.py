"""Which way each image of a micro-batch is decoded: fast, by Pillow, in a decoder process, or later as a heavy one."""

import io
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from shared.domain.identifiers import VersionKey
from shared.domain.image import ImageSpec
from shared.queue.consumer.entries import Entry
from worker.decode.decode_threads import DecodeThreads
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import decode_sized
from worker.decode.sized_pixels import SizedPixels
from worker.predict.decoding import MOST_HEAVY, Decoding

SPEC = ImageSpec((8,), (8,))


def encoded(format: str, side: int = 16) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, format)
    return file.getvalue()


JPEG, PNG, BROKEN = encoded("JPEG"), encoded("PNG"), encoded("JPEG")[:-20] + b"\xff\xd9"
HEAVY_JPEG = encoded("JPEG", 2200)


class Fast:
    """Decodes JPEGs, to what they were decoded by."""

    def __init__(self, *, takes_heavy: bool) -> None:
        self.takes_heavy = takes_heavy

    def decode(self, images: Sequence[bytes]) -> list[str | None]:
        return ["fast" if image in (JPEG, HEAVY_JPEG) else None for image in images]


class Process:
    """The decoder process, which nothing here needs to start."""

    def decode(self, data: bytes, spec: ImageSpec) -> str:
        assert spec == SPEC
        if data == BROKEN:
            raise Undecodable("it is damaged")
        return "process"


def test_a_version_whose_outputs_lie_in_the_picture_gets_its_size_from_every_decoder() -> None:
    class SizedProcess:
        def decode_sized(self, data: bytes, spec: ImageSpec) -> SizedPixels:
            return decode_sized(data, spec, max_pixels=10**8)

    pool: Any = SizedProcess()
    model: Any = SimpleNamespace(spec=SPEC, fast_decoder=None, needs_size=True)
    entries = [Entry("lane", str(n), "w", "c", VersionKey("3-a"), data) for n, data in enumerate((PNG, HEAVY_JPEG))]
    decoding = Decoding(decoders=pool, threads=DecodeThreads(1), max_pixels=10**8)
    found = dict(decoding.decode(model, entries, heavy=None, heavy_in_hand=lambda: 0))
    sizes = [pixels.size for pixels in found.values() if isinstance(pixels, SizedPixels)]
    assert sizes == [(16, 16), (2200, 2200)]


def ways(images: Sequence[bytes], fast: Fast | None, *, alone: bool = False, in_hand: int = 0) -> dict[int, str]:
    """Return by image number how it was decoded: fast, process, pillow, broken or later."""
    entries = [Entry("lane", str(n), "w", "c", VersionKey("3-a"), image) for n, image in enumerate(images)]
    model: Any = SimpleNamespace(spec=SPEC, fast_decoder=fast, needs_size=False)
    pool: Any = Process()
    heavy: list[Entry] = []
    decoding = Decoding(decoders=pool, threads=DecodeThreads(1), max_pixels=10**8)
    found = {}
    for entry, pixels in decoding.decode(model, entries, heavy=None if alone else heavy, heavy_in_hand=lambda: in_hand):
        named = "broken" if isinstance(pixels, Undecodable) else pixels if isinstance(pixels, str) else "pillow"
        found[int(entry.id)] = named
    return found | {int(entry.id): "later" for entry in heavy}


IMAGES = (JPEG, PNG, HEAVY_JPEG, b"nothing")


@pytest.mark.parametrize(
    ("fast", "expected"),
    [
        (None, ["pillow", "pillow", "later", "broken"]),
        (Fast(takes_heavy=False), ["fast", "pillow", "later", "broken"]),
        (Fast(takes_heavy=True), ["fast", "pillow", "fast", "broken"]),
    ],
)
def test_each_image_is_decoded_once_in_the_fastest_way(fast: Fast | None, expected: list[str]) -> None:
    assert ways(IMAGES, fast) == dict(enumerate(expected))


@pytest.mark.parametrize("fast", [None, Fast(takes_heavy=True)])
def test_what_runs_alone_is_not_decoded_fast(fast: Fast | None) -> None:
    for image, way in zip(IMAGES, ["pillow", "pillow", "process", "broken"], strict=True):
        assert ways([image], fast, alone=True) == {0: way}


def test_heavy_images_over_the_limit_are_waited_for() -> None:
    assert ways([HEAVY_JPEG, HEAVY_JPEG], None, in_hand=MOST_HEAVY - 1) == {0: "later", 1: "process"}
