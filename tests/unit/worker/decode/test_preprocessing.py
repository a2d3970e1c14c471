"""For every kind of image the model gets the pixels that torchvision's preset would have given it.

Over 300 lines: all of its tests compare the same two ways.
"""

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from shared.domain.image import ImageSpec, Interpolation, Mode, Pad
from tests.support.damaged_files import damaged, with_png_checksums
from tests.support.deferred_imports import deferred
from worker.decode.preprocessing import Undecodable, decode

torch = deferred("torch")
transforms = deferred("torchvision.transforms")
presets = deferred("torchvision.transforms._presets")
beside_torch = pytest.mark.xdist_group("torch")
"""Tests that need torch run in one process: only that one imports it."""

LIMIT = 1_000_000
AS_IT_IS = ImageSpec(None, (48, 64))
"""Takes 64x48 images without a step."""
GREY_AS_IT_IS = ImageSpec(None, (48, 64), mean=(0.0,), std=(1.0,), mode=Mode.GREYSCALE)


def picture(width: int = 64, height: int = 48, *, mode: str = "RGB") -> Image.Image:
    """Return noise on a gradient: any inexact step changes pixels."""
    random = np.random.default_rng(width * height)
    slope = np.linspace(0, 200, width * height).reshape(height, width, 1)
    pixels = (slope + random.integers(0, 56, (height, width, 3))).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@cache
def noise(size: tuple[int, int]) -> tuple[Image.Image, bytes]:
    """Return a picture and its PNG, which takes longer to write than most tests take."""
    return picture(*size), encoded(picture(*size))


@beside_torch
@pytest.mark.parametrize("interpolation", list(Interpolation))
@pytest.mark.parametrize("size", [(64, 48), (33, 57), (301, 200), (640, 427), (20, 20), (7, 90), (31, 40)])
@pytest.mark.parametrize(("resize", "crop"), [(32, 28), (32, 32), (41, 28), (24, 31), (57, 57)])
def test_a_preset_is_followed_bit_for_bit(
    size: tuple[int, int], resize: int, crop: int, interpolation: Interpolation
) -> None:
    image, data = noise(size)
    preset = presets.ImageClassification(
        crop_size=crop,
        resize_size=resize,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        interpolation=transforms.InterpolationMode(str(interpolation)),
    )
    expected = (preset(image) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    found = decode(data, ImageSpec((resize,), (crop,), interpolation), max_pixels=LIMIT)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


@beside_torch
@pytest.mark.parametrize("size", [(64, 48), (10, 90), (40, 30), (33, 41)])
def test_two_numbers_are_height_and_width(size: tuple[int, int]) -> None:
    image = picture(*size)
    expected = transforms.functional.center_crop(transforms.functional.resize(image, [30, 40]), [20, 51])
    found = decode(encoded(image), ImageSpec((30, 40), (20, 51)), max_pixels=LIMIT)
    assert np.array_equal(found, np.asarray(expected))


@beside_torch
def test_a_resize_to_height_and_width_needs_no_crop() -> None:
    expected = transforms.functional.resize(picture(), [30, 40])
    found = decode(encoded(picture()), ImageSpec((30, 40), None), max_pixels=LIMIT)
    assert np.array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("mode", [Mode.RGB, Mode.BGR, Mode.GREYSCALE])
@pytest.mark.parametrize("fill", [0, 114])
@pytest.mark.parametrize("pad", list(Pad))
@pytest.mark.parametrize("size", [(64, 48), (10, 90), (40, 30), (33, 41), (1, 700), (51, 30), (48, 64)])
def test_a_border_is_that_of_yolos_letterbox(size: tuple[int, int], pad: Pad, fill: int, mode: Mode) -> None:
    high, wide = 30, 51
    ratio = min(high / size[1], wide / size[0])
    width, height = (max(1, round(side * ratio)) for side in size)
    grey = mode is Mode.GREYSCALE
    resized = picture(*size).convert("L" if grey else "RGB").resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized).reshape(height, width, 1 if grey else 3)
    across, down = (wide - width) / 2, (high - height) / 2
    top, bottom, left, right = round(down - 0.1), round(down + 0.1), round(across - 0.1), round(across + 0.1)
    if pad is Pad.END:
        top, bottom, left, right = 0, top + bottom, 0, left + right
    expected = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), constant_values=fill)
    if mode is Mode.BGR:
        expected = expected[..., ::-1]
    spec = ImageSpec((high, wide), None, mode=mode, pad=pad, fill=fill)
    assert np.array_equal(decode(encoded(picture(*size)), spec, max_pixels=LIMIT), expected)


@pytest.mark.parametrize("kind", ["P", "LA", "CMYK", "RGBA", "L", "RGB"])
def test_bgr_is_rgb_the_other_way_round(kind: str) -> None:
    data = encoded(picture(mode="RGB").convert(kind), "TIFF")
    found = decode(data, ImageSpec((30,), (20, 40), mode=Mode.BGR), max_pixels=LIMIT)
    assert np.array_equal(found, decode(data, ImageSpec((30,), (20, 40)), max_pixels=LIMIT)[..., ::-1])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_exif_orientation_is_applied(format: str, orientation: int) -> None:
    image = picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, format, exif=exif)
    stored = Image.open(io.BytesIO(encoded(image, format))).convert("RGB")
    turned = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: np.rot90,
    }[orientation](np.asarray(stored))
    height, width = turned.shape[:2]
    assert np.array_equal(decode(data, ImageSpec(None, (height, width)), max_pixels=LIMIT), turned)


def test_an_image_with_invalid_exif_is_decoded() -> None:
    data = encoded(picture(), "JPEG", exif=b"Exif\x00\x00no such thing")
    plain = encoded(picture(), "JPEG")
    assert np.array_equal(decode(data, AS_IT_IS, max_pixels=LIMIT), decode(plain, AS_IT_IS, max_pixels=LIMIT))


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_lossless_formats_and_modes_keep_their_colours(format: str, mode: str) -> None:
    image = picture(mode=mode)
    data = encoded(image, format)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(decode(data, AS_IT_IS, max_pixels=LIMIT), expected)
    if format != "GIF":
        assert np.array_equal(expected, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(("format", "options"), [("WEBP", {"lossless": True}), ("WEBP", {}), ("JPEG", {})])
def test_webp_and_jpeg_are_read(format: str, options: dict[str, Any]) -> None:
    found = decode(encoded(picture(), format, **options), AS_IT_IS, max_pixels=LIMIT).astype(int)
    assert np.abs(found - np.asarray(picture()).astype(int)).mean() < (1 if options else 20)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_converted_to_rgb(format: str) -> None:
    flat = Image.new("RGB", (64, 48), (200, 40, 90)).convert("CMYK")
    found = decode(encoded(flat, format), AS_IT_IS, max_pixels=LIMIT).astype(int)
    assert np.abs(found - [200, 40, 90]).max() <= 3


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_blended_onto_white(format: str) -> None:
    image = Image.new("RGBA", (64, 48), (100, 50, 0, 0))
    image.paste((100, 50, 0, 255), (0, 0, 32, 48))
    image.paste((100, 50, 0, 51), (32, 0, 64, 24))
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    found = decode(encoded(image, format, **options), AS_IT_IS, max_pixels=LIMIT)
    assert found[0, 0].tolist() == [100, 50, 0]
    assert found[47, 63].tolist() == [255, 255, 255]
    # A fifth of 100 on four fifths of white.
    assert found[0, 63].tolist() == [224, 214, 204]


@pytest.mark.parametrize("mode", ["LA", "P", "L", "RGB"])
def test_every_kind_of_png_transparency_is_blended_onto_white(mode: str) -> None:
    if mode == "LA":
        data = encoded(Image.new("LA", (64, 48), (10, 0)))
    else:
        colour = (10, 10, 10) if mode == "RGB" else 10
        image = Image.new("L" if mode == "P" else mode, (64, 48), colour).convert(mode)
        data = encoded(image, transparency=colour)
    assert (decode(data, AS_IT_IS, max_pixels=LIMIT) == 255).all()
    assert (decode(data, GREY_AS_IT_IS, max_pixels=LIMIT) == 255).all()


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(format: str) -> None:
    values = np.linspace(0, 65535, 64 * 48).round().astype(np.uint16).reshape(48, 64)
    found = decode(encoded(Image.fromarray(values), format), GREY_AS_IT_IS, max_pixels=LIMIT)
    assert np.array_equal(found[:, :, 0], values >> 8)


def test_sixteen_bit_colour_is_read() -> None:
    rows = np.full((48, 64, 3), (65535, 32896, 257), dtype=">u2")
    body = b"".join(b"\x00" + row.tobytes() for row in rows)
    found = decode(png_of(64, 48, depth=16, colour=2, body=zlib.compress(body)), AS_IT_IS, max_pixels=LIMIT)
    assert (found == [255, 128, 1]).all()


def test_samples_without_a_range_are_refused() -> None:
    data = encoded(Image.fromarray(np.zeros((48, 64), np.float32)), "TIFF")
    with pytest.raises(Undecodable, match="SMinSampleValue"):
        decode(data, AS_IT_IS, max_pixels=LIMIT)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_predicted(format: str) -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert (decode(data, AS_IT_IS, max_pixels=LIMIT) == [255, 0, 0]).all()


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_greyscale_model_gets_one_channel(format: str) -> None:
    data = encoded(picture(), format)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    found = decode(data, GREY_AS_IT_IS, max_pixels=LIMIT)
    assert found.shape == (48, 64, 1)
    assert np.array_equal(found[:, :, 0], expected)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(32, 32), (1, 1), (5, 3), (64, 48), (400, 300)])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_the_fast_path_for_plain_pngs_gives_the_same_pixels(size: tuple[int, int], mode: str, level: int) -> None:
    image = picture(*size, mode=mode)
    note = PngImagePlugin.PngInfo()
    note.add_text("note", "one more chunk, so that this one goes the long way")
    spec = ImageSpec(None, (size[1], size[0]))
    short = decode(encoded(image, compress_level=level), spec, max_pixels=LIMIT)
    long = decode(encoded(image, compress_level=level, pnginfo=note), spec, max_pixels=LIMIT)
    assert np.array_equal(short, long)
    assert np.array_equal(short, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_a_truncated_file_is_undecodable(format: str, part: float) -> None:
    data = encoded(picture(), format)
    with pytest.raises(Undecodable):
        decode(data[: int(len(data) * part)], AS_IT_IS, max_pixels=LIMIT)


@pytest.mark.parametrize("data", [b"", b"\x00", b"hello", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff"])
def test_data_that_is_no_image_is_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(data, AS_IT_IS, max_pixels=LIMIT)


@pytest.mark.parametrize("format", ["PPM", "ICO", "TGA", "PDF", "EPS"])
def test_other_formats_are_not_read(format: str) -> None:
    with pytest.raises(Undecodable):
        decode(encoded(picture(), format), AS_IT_IS, max_pixels=LIMIT)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_an_image_over_the_pixel_limit_is_not_decoded(format: str) -> None:
    data = encoded(picture(), format)
    decode(data, AS_IT_IS, max_pixels=64 * 48)
    with pytest.raises(Undecodable, match="64 x 48 pixels are over the limit of 3071"):
        decode(data, AS_IT_IS, max_pixels=64 * 48 - 1)


def test_a_decompression_bomb_is_not_decoded() -> None:
    bomb = png_of(30_000, 30_000, depth=8, colour=2, body=zlib.compress(bytes(1000)))
    with pytest.raises(Undecodable, match="30000 x 30000 pixels are over the limit"):
        decode(bomb, AS_IT_IS, max_pixels=50_000_000)


def test_a_narrow_strip_may_not_be_resized_into_a_bomb() -> None:
    strip = encoded(picture(1, 9000))
    with pytest.raises(Undecodable, match="256 x 2304000 pixels are over the limit"):
        decode(strip, ImageSpec((256,), (224,)), max_pixels=50_000_000)


FILES = [
    *(encoded(picture(), format) for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")),
    *(encoded(picture(mode=mode), "PNG") for mode in ("1", "L", "LA", "P", "RGBA")),
    *(encoded(picture(), "TIFF", compression=kind) for kind in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
    *(encoded(picture(mode=mode), "TIFF") for mode in ("1", "RGBA", "CMYK")),
    encoded(picture(), "JPEG", progressive=True),
    encoded(picture(), "WEBP", lossless=True),
    encoded(picture(), "GIF", save_all=True, append_images=[picture(40, 30)]),
]


@pytest.mark.slow
@settings(derandomize=True, max_examples=500)
@given(damaged(FILES, mend=with_png_checksums))
def test_a_damaged_file_is_decoded_or_undecodable(data: bytes) -> None:
    try:
        found = decode(data, ImageSpec((32,), (28,)), max_pixels=LIMIT)
    except Undecodable:
        return
    assert found.shape == (28, 28, 3)


@pytest.mark.slow
@settings(derandomize=True, max_examples=300)
@given(damaged(FILES, mend=with_png_checksums), st.integers(1, 5_000))
def test_no_damaged_file_exceeds_the_pixel_limit(data: bytes, limit: int) -> None:
    try:
        height, width, _ = decode(data, ImageSpec((7, 9), None), max_pixels=limit).shape
    except Undecodable:
        return
    assert (height, width) == (7, 9)
    with Image.open(io.BytesIO(data)) as image:
        assert image.width * image.height <= limit


def png_of(width: int, height: int, *, depth: int, colour: int, body: bytes) -> bytes:
    """Return a PNG by hand: for what Pillow doesn't write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    framed = (struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)
