"""Loads an image file with Pillow (an array with NumPy), so that every sample means what the file says it means."""

import io
import re
from typing import Final

from PIL import (
    BmpImagePlugin,  # noqa: F401  a plugin registers its format when imported
    GifImagePlugin,  # noqa: F401
    Image,
    ImageChops,
    ImageFile,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from shared.image_files import jpeg, tiff
from shared.image_files.formats import identify_format, read_header
from shared.image_files.header import BrokenImageError
from worker.decode import sample_conversion
from worker.decode.damaged_files import repaired_variants
from worker.decode.numpy_arrays import load_array

# Pillow's table of TIFF kinds has this one for little-endian files alone.
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))

_NOISE: Final = b"\x5a\xc3\x96\x2d\x69\xb4\x17\xe8"
_RESTARTS: Final = b"".join(bytes([0xFF, 0xD0 + number % 8]) + 8 * _NOISE for number in range(24))
_CONTINUATIONS: Final = (b"", 64 * _NOISE + _RESTARTS)
"""Two kinds of data to append where a JPEG's data ends: a complete image decodes to the same pixels with both."""
_MOST_ZEROS_KEPT: Final = 2
"""Of the zeros at a JPEG's end: so many may belong to its data."""
_MOST_PIXELS: Final = Image.MAX_IMAGE_PIXELS
_IN_BRACKETS: Final = re.compile(r"<[^<>]*>")
"""Python objects and addresses in Pillow's messages."""


class Undecodable(Exception):
    """These bytes are not an image that can be decoded; the message says why, in words for people."""


def load_image(data: bytes, *, max_pixels: int) -> Image.Image:
    """Return the loaded image; its size is checked before anything is decoded. Raises Undecodable."""
    kind = identify_format(data)
    if kind is None:
        raise Undecodable("it is no image of a kind that is read")
    format, read = kind
    try:
        width, height, _ = read_header(data, read)
        check_pixels(width, height, max_pixels=max_pixels)
        if format == "NPY":
            return load_array(data)
        page = tiff.full_page(data) if format == "TIFF" else None
        data = tiff.with_first_page(data, page) if page is not None else data
    except BrokenImageError as error:
        raise Undecodable(f"the {format} image is broken: {error}") from None
    image = _load_or_repair(data, format, max_pixels=max_pixels)
    if page is not None:
        return sample_conversion.of_tiff(image, page)
    return sample_conversion.of_png(image, data) if format == "PNG" else image


def check_pixels(width: int, height: int, *, max_pixels: int) -> None:
    """Raise Undecodable for more pixels than allowed."""
    if width * height > max_pixels:
        raise Undecodable(f"{width} x {height} pixels are over the limit of {max_pixels}")


def error_text(error: Exception) -> str:
    """Return what went wrong, in words for people: Pillow's messages name Python objects and addresses."""
    said = str(error)
    if "truncated" in said or "not enough image data" in said:
        return "its image data ends before the last pixel"
    if isinstance(error, UnidentifiedImageError):
        return "its header is damaged"
    if isinstance(error, OSError) and said.startswith("Unsupported"):
        return f"it is damaged or of a rare kind: {_IN_BRACKETS.sub('', said)}"
    return "it is damaged"


def _load_or_repair(data: bytes, format: str, *, max_pixels: int) -> Image.Image:
    """Return the loaded image, repaired around its pixels if need be; raises what Pillow raised at first."""
    if format == "JPEG" and not jpeg.has_end(data):
        return _load_without_end(data, max_pixels=max_pixels)
    try:
        return _load(data, format, max_pixels=max_pixels)
    except Exception as error:
        for repaired in repaired_variants(data, format):
            try:
                return _load(repaired, format, max_pixels=max_pixels)
            except Exception:  # noqa: BLE001, S112  people should hear what is wrong with the file they sent
                continue
        if format == "TIFF" and isinstance(error, UnidentifiedImageError):
            # Its header could be read; Pillow does not know this combination of tags.
            raise Undecodable("this combination of colours, bits and extra samples is not read") from None
        raise error from None


def _load(data: bytes, format: str, *, max_pixels: int) -> Image.Image:
    # Both are the process', and a model whose module is being imported beside this may have changed them.
    ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, _MOST_PIXELS
    image = Image.open(io.BytesIO(data), formats=(format,))
    check_pixels(image.width, image.height, max_pixels=max_pixels)
    # A GIF's first frame may cover part of the screen; the rest is transparent.
    box = image.tile[0].extents if format == "GIF" and image.tile else None
    image.load()
    if box is None or box == (0, 0, *image.size):
        return image
    screen = Image.new("RGBA", image.size, (255, 255, 255, 0))
    screen.paste(image.crop(box).convert("RGBA"), box)
    return screen


def _load_without_end(data: bytes, *, max_pixels: int) -> Image.Image:
    """Return a JPEG that has no end marker, if its data is complete: if no pixel depends on what follows the data.

    Zeros at the end come from a copy that was broken off, or from an editor.
    """
    end = data.rstrip(b"\0")
    end += bytes(min(_MOST_ZEROS_KEPT, len(data) - len(end)))
    end = end.rstrip(b"\xff")  # half an end marker
    one, other = (_load(end + more + b"\xff\xd9", "JPEG", max_pixels=max_pixels) for more in _CONTINUATIONS)
    if ImageChops.difference(one, other).getbbox() is not None:
        raise Undecodable("its image data ends before the last pixel")
    return one
