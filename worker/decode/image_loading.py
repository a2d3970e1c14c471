"""Image files to loaded Pillow images that mean what the file says."""

import io
import re
from typing import Final

from PIL import (
    BmpImagePlugin,  # noqa: F401  a plugin registers its format when imported
    GifImagePlugin,  # noqa: F401
    Image,
    ImageChops,
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

# What Pillow's table of TIFFs has for little-endian files alone.
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))

_NOISE: Final = b"\x5a\xc3\x96\x2d\x69\xb4\x17\xe8"
_RESTARTS: Final = b"".join(bytes([0xFF, 0xD0 + number % 8]) + 8 * _NOISE for number in range(24))
_GOINGS_ON: Final = (b"", 64 * _NOISE + _RESTARTS)
"""Two ways to go on where a JPEG's data ends; what is whole looks the same with both."""
_MOST_ZEROS_KEPT: Final = 2
_IN_BRACKETS: Final = re.compile(r"<[^<>]*>")


class Undecodable(Exception):
    """These bytes are no image that can be read; the message says why."""


def load_image(data: bytes, *, max_pixels: int) -> Image.Image:
    """Return the loaded image; nothing is decoded before its size is known to be allowed. Raises Undecodable."""
    kind = identify_format(data)
    if kind is None:
        raise Undecodable("it is no image of a kind that is read")
    format, read = kind
    try:
        width, height, _ = read_header(data, read)
        check_pixels(width, height, max_pixels=max_pixels)
        page = tiff.full_page(data) if format == "TIFF" else None
        data = tiff.at_page(data, page) if page is not None else data
    except BrokenImageError as error:
        raise Undecodable(f"the {format} image is broken: {error}") from None
    image = _loaded_or_mended(data, format, max_pixels=max_pixels)
    if page is not None:
        return sample_conversion.of_tiff(image, page)
    return sample_conversion.of_png(image, data) if format == "PNG" else image


def check_pixels(width: int, height: int, *, max_pixels: int) -> None:
    """Raise Undecodable for more pixels than allowed."""
    if width * height > max_pixels:
        raise Undecodable(f"{width} x {height} pixels are over the limit of {max_pixels}")


def words(error: Exception) -> str:
    """Return what went wrong in words for people; Pillow's own name objects and addresses."""
    said = str(error)
    if "truncated" in said or "not enough image data" in said:
        return "its image data ends before the last pixel"
    if isinstance(error, UnidentifiedImageError):
        return "its header is damaged"
    if isinstance(error, OSError) and said.startswith("Unsupported"):
        return f"it is damaged or of a rare kind: {_IN_BRACKETS.sub('', said)}"
    return "it is damaged"


def _loaded_or_mended(data: bytes, format: str, *, max_pixels: int) -> Image.Image:
    """Return the loaded image, without what is wrong around its pixels if need be; raises what Pillow raised first."""
    if format == "JPEG" and not jpeg.has_end(data):
        return _loaded_without_end(data, max_pixels=max_pixels)
    try:
        return _loaded(data, format, max_pixels=max_pixels)
    except Exception as error:
        for again in repaired_variants(data, format):
            try:
                return _loaded(again, format, max_pixels=max_pixels)
            except Exception:  # noqa: BLE001, S112  what is wrong with the file as it came is what people should know
                continue
        if format == "TIFF" and isinstance(error, UnidentifiedImageError):
            # Its header has been read: what Pillow does not know is what the tags say together.
            raise Undecodable("this combination of colours, bits and extra samples is not read") from None
        raise error from None


def _loaded(data: bytes, format: str, *, max_pixels: int) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=(format,))
    check_pixels(image.width, image.height, max_pixels=max_pixels)
    # A GIF's first frame may cover a part of the screen; what it leaves uncovered is clear.
    box = image.tile[0].extents if format == "GIF" and image.tile else None
    image.load()
    if box is None or box == (0, 0, *image.size):
        return image
    screen = Image.new("RGBA", image.size, (255, 255, 255, 0))
    screen.paste(image.crop(box).convert("RGBA"), box)
    return screen


def _loaded_without_end(data: bytes, *, max_pixels: int) -> Image.Image:
    """Return a JPEG without end marker if its data is whole: no pixel depends on what follows the data.

    Zeros at the end are what a copy leaves that was broken off, or an editor appended.
    """
    end = data.rstrip(b"\0")
    end += bytes(min(_MOST_ZEROS_KEPT, len(data) - len(end)))
    end = end.rstrip(b"\xff")  # half an end marker
    one, other = (_loaded(end + more + b"\xff\xd9", "JPEG", max_pixels=max_pixels) for more in _GOINGS_ON)
    if ImageChops.difference(one, other).getbbox() is not None:
        raise Undecodable("its image data ends before the last pixel")
    return one
