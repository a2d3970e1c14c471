"""A window of a resized picture is, byte for byte, what Pillow makes of the whole picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.domain.image import Interpolation
from worker.decode.geometry import Window
from worker.decode.resampling import _is_as_two_calls, resized_window

MAX_PIXELS = 1_000_000
PILLOWS = {one: Image.Resampling[one.name] for one in Interpolation}


def noise(width: int, height: int, mode: str) -> Image.Image:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@st.composite
def windows(draw: st.DrawFn, size: tuple[int, int]) -> Window:
    left, top = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
    return Window(left, top, draw(st.integers(1, size[0] - left)), draw(st.integers(1, size[1] - top)))


@given(st.data())
def test_it_is_what_pillow_makes_of_the_whole_picture(data: st.DataObject) -> None:
    sides = st.integers(1, 90)
    now, size = (data.draw(st.tuples(sides, sides)) for _ in range(2))
    part, interpolation = data.draw(windows(size)), data.draw(st.sampled_from(Interpolation))
    image = noise(*now, data.draw(st.sampled_from(["RGB", "L"])))
    expected = image.resize(size, PILLOWS[interpolation]).crop(part.box)
    found = resized_window(image, size, part, interpolation, max_pixels=MAX_PIXELS)
    assert (found.size, found.mode) == (expected.size, expected.mode)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("interpolation", list(Interpolation))
@pytest.mark.parametrize(
    ("now", "size"),
    [
        ((640, 427), (383, 256)),
        ((427, 640), (256, 383)),
        ((480, 640), (256, 341)),
        ((1080, 1920), (256, 455)),
        ((300, 900), (256, 768)),
        ((3, 400), (4, 533)),
        ((100, 140), (60, 60)),
        ((100, 141), (60, 60)),
        ((40, 30), (400, 300)),
    ],
)
def test_photographs_centre_crops_too(
    now: tuple[int, int], size: tuple[int, int], interpolation: Interpolation
) -> None:
    image, side = noise(*now, "RGB"), min(224, *size)
    part = Window((size[0] - side) // 2, (size[1] - side) // 2, side, side)
    expected = image.resize(size, PILLOWS[interpolation]).crop(part.box)
    found = resized_window(image, size, part, interpolation, max_pixels=MAX_PIXELS)
    assert found.tobytes() == expected.tobytes()


def test_a_pillow_that_does_otherwise_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, sizes = Image.Image.resize, []

    def height_first(image: Image.Image, size: tuple[int, int], resampling: Image.Resampling) -> Image.Image:
        sizes.append(size)
        return real(real(image, (image.width, size[1]), resampling), size, resampling)

    monkeypatch.setattr(Image.Image, "resize", height_first)
    _is_as_two_calls.cache_clear()
    try:
        image, part = noise(64, 48, "RGB"), Window(6, 1, 28, 28)
        found = resized_window(image, (40, 30), part, Interpolation.BILINEAR, max_pixels=MAX_PIXELS)
    finally:
        _is_as_two_calls.cache_clear()
    expected = height_first(image, (40, 30), Image.Resampling.BILINEAR).crop(part.box)
    assert found.tobytes() == expected.tobytes()
    assert (40, 48) not in sizes
    assert (40, 30) in sizes


def test_the_installed_pillow_is_known() -> None:
    assert _is_as_two_calls()
