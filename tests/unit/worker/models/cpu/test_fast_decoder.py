"""`decode: fast` on a CPU: nearly the pixels of exact decoding, for every kind of file, and the same refusals."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from shared.domain.image import ImageSpec
from tests.support.deferred_imports import deferred
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

torch = deferred("torch")
fast_decoder = deferred("worker.models.cpu.fast_decoder")
# One process runs them all: only that one imports torch.
pytestmark = pytest.mark.xdist_group("torch")

MAX_PIXELS = 4_000_000
MOST_CHANGED, MOSTLY_CHANGED = 0.2, 0.005
"""Fraction of the values that may differ: the most where the ratio of the sizes gives exact halves, and the median."""


def photograph(width: int, height: int, *, seed: int = 0, grey: bool = False) -> Image.Image:
    """Return a picture with soft areas, edges and grain."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width]
    channels = []
    for _ in range(1 if grey else 3):
        waves = sum(
            random.uniform(10, 50) * np.sin(across / random.uniform(5, 90) + down / random.uniform(5, 90))
            for _ in range(4)
        )
        edges = 60 * ((across // random.integers(9, 60) + down // random.integers(9, 60)) % 2)
        channels.append(waves + edges + random.normal(90, 6, (height, width)))
    values = np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)
    return Image.fromarray(values.squeeze(-1) if grey else values)


def file_of(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def spec_of(**image: Any) -> ImageSpec:
    return ImageSpec.from_metadata({"resize_size": [64], "crop_size": [56]} | image)


def fast(data: bytes, spec: ImageSpec) -> "Pixels":
    [pixels] = fast_decoder.CpuFastDecoder(spec, max_pixels=MAX_PIXELS).decode([data])
    assert pixels is not None
    return pixels


def changed(data: bytes, spec: ImageSpec) -> float:
    """Return the fraction of values that differ from exact decoding; none may by more than two."""
    exact, found = decode(data, spec, max_pixels=MAX_PIXELS), fast(data, spec)
    assert found.shape == exact.shape
    assert found.dtype == exact.dtype
    difference = np.abs(found.astype(int) - exact)
    assert difference.max() <= 2
    return float((difference > 0).mean())


def assert_nearly_equal(data: bytes, spec: ImageSpec) -> None:
    assert changed(data, spec) <= MOST_CHANGED


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_photographs_of_many_sizes_differ_in_few_places(interpolation: str) -> None:
    random, fractions = np.random.default_rng(0), []
    for seed in range(20):
        width, height = (int(side) for side in random.integers(57, 900, 2))
        data = file_of(photograph(width, height, seed=seed), quality=int(random.integers(40, 96)))
        specs = (spec_of(interpolation=interpolation), spec_of(resize_size=[50, 70], interpolation=interpolation))
        fractions += [changed(data, spec) for spec in specs]
    assert max(fractions) <= MOST_CHANGED
    assert float(np.median(fractions)) <= MOSTLY_CHANGED


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (7, 5), (63, 64), (64, 64), (65, 64), (300, 57)])
def test_tiny_and_odd_sizes(size: tuple[int, int]) -> None:
    assert_nearly_equal(file_of(photograph(*size)), spec_of())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_honoured(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_nearly_equal(file_of(photograph(230, 151), exif=exif), spec_of())


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(201, 133), (202, 134)])
def test_every_kind_of_jpeg(subsampling: str, size: tuple[int, int], *, progressive: bool) -> None:
    data = file_of(photograph(*size), subsampling=subsampling, progressive=progressive)
    assert_nearly_equal(data, spec_of())


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_grey_jpegs_and_grey_models(mode: str) -> None:
    for image in (photograph(210, 140, grey=True), photograph(210, 140)):
        assert_nearly_equal(file_of(image), spec_of(mode=mode))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_other_formats_are_resized_in_the_same_way(format: str) -> None:
    assert_nearly_equal(file_of(photograph(210, 140), format), spec_of())


def test_cmyk_and_transparent_images() -> None:
    assert_nearly_equal(file_of(photograph(210, 140).convert("CMYK")), spec_of())
    image = photograph(210, 140)
    image.putalpha(photograph(210, 140, grey=True))
    assert_nearly_equal(file_of(image, "PNG"), spec_of())


@pytest.mark.parametrize("interpolation", ["nearest", "box", "hamming", "lanczos"])
def test_filters_that_torch_lacks_give_exactly_pillows_pixels(interpolation: str) -> None:
    data, spec = file_of(photograph(210, 140)), spec_of(interpolation=interpolation)
    assert (fast(data, spec) == decode(data, spec, max_pixels=MAX_PIXELS)).all()
    assert not fast_decoder.is_faster(spec)


def test_a_crop_larger_than_the_image_and_an_image_of_the_right_size_are_as_exact() -> None:
    data = file_of(photograph(64, 90))
    for spec in (spec_of(crop_size=[80]), spec_of(), ImageSpec.from_metadata({"resize_size": None, "crop_size": [40]})):
        assert (fast(data, spec) == decode(data, spec, max_pixels=MAX_PIXELS)).all()


def test_a_border_is_as_exact_and_said_to_be() -> None:
    spec = spec_of(resize_size=[64, 80], crop_size=None, pad="center", fill=114)
    data = file_of(photograph(210, 140))
    assert (fast(data, spec) == decode(data, spec, max_pixels=MAX_PIXELS)).all()
    assert not fast_decoder.is_faster(spec)


def test_bgr_is_rgb_the_other_way_round() -> None:
    data = file_of(photograph(210, 140))
    assert (fast(data, spec_of(mode="BGR")) == fast(data, spec_of())[..., ::-1]).all()


def test_a_file_that_exact_decoding_refuses_is_refused() -> None:
    complete = file_of(photograph(210, 140), quality=90)
    strip = file_of(Image.new("RGB", (60_000, 1)))
    for data in (complete[: len(complete) // 2], b"not an image", file_of(Image.new("RGB", (2100, 2000))), strip):
        with pytest.raises(Undecodable):
            decode(data, spec_of(), max_pixels=MAX_PIXELS)
        assert fast_decoder.CpuFastDecoder(spec_of(), max_pixels=MAX_PIXELS).decode([data]) == [None]
        with pytest.raises(Undecodable):
            decode(data, spec_of(), max_pixels=MAX_PIXELS, resize_and_crop=fast_decoder.resize_and_crop_fast)


@pytest.mark.slow
def test_damaged_files_are_judged_as_by_exact_decoding() -> None:
    complete = file_of(photograph(210, 140), quality=80)
    random = np.random.default_rng(0)
    decoder = fast_decoder.CpuFastDecoder(spec_of(), max_pixels=MAX_PIXELS)
    for _ in range(200):
        damaged = bytearray(complete)
        for place in random.integers(2, len(damaged), int(random.integers(1, 5))):
            damaged[place] = int(random.integers(256))
        try:
            decode(bytes(damaged), spec_of(), max_pixels=MAX_PIXELS)
        except Undecodable:
            assert decoder.decode([bytes(damaged)]) == [None]
        else:
            assert_nearly_equal(bytes(damaged), spec_of())


def test_it_is_used_only_where_the_processor_has_vector_instructions_that_torch_uses() -> None:
    assert fast_decoder.is_faster(spec_of()) == (torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"))


def test_the_size_of_the_picture_comes_with_its_pixels_where_asked_for() -> None:
    file = io.BytesIO()
    Image.new("RGB", (120, 80)).save(file, "PNG")
    [found] = fast_decoder.CpuFastDecoder(spec_of(), max_pixels=MAX_PIXELS, sized=True).decode([file.getvalue()])
    assert (found.size, found.pixels.shape) == ((120, 80), (56, 56, 3))
