"""The six kinds of image file: how each begins, and what reads its header.

Headers are read here and not by Pillow: it inflates a PNG's text chunks, allocates a WebP's canvas and walks a JPEG's
segments without a bound, all on the gateway's event loop and before the size in pixels can be refused. A PNG costs 1 µs
here and 10 µs there. Nothing is decoded; damage inside the pixels is the worker's to find.
"""

import re
import struct
from collections.abc import Callable
from typing import Final

from shared.image_files.bmp import read_bmp
from shared.image_files.gif import read_gif
from shared.image_files.header import BrokenImageError
from shared.image_files.jpeg import read_jpeg
from shared.image_files.png import read_png
from shared.image_files.tiff import read_tiff
from shared.image_files.webp import read_webp

Header = tuple[int, int, float]
"""Width and height in pixels, as stored (turning an image upright is the worker's), and an estimate of the work.

The estimate is in milliseconds of one core of 2024. It is no promise, but on the high side: what is estimated at a
few milliseconds never takes a hundred.
"""
Reader = Callable[[bytes], Header]

SUPPORTED: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MEDIA_TYPES: Final = {name: f"image/{name.lower()}" for name in SUPPORTED}
HEAVY: Final = 25.0
"""Milliseconds of estimated work from which on an image is decoded beside the others and not in their batch."""

_SIGNATURES: Final[tuple[tuple[re.Pattern[bytes], str, Reader], ...]] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG", read_png),
    (re.compile(rb"\xff\xd8\xff"), "JPEG", read_jpeg),
    (re.compile(rb"GIF8[79]a"), "GIF", read_gif),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP", read_webp),
    # With the header's length (12, 16, 40, 52, 56, 64, 108, 124): two letters alone would take a text for a bitmap.
    (re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "BMP", read_bmp),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF", read_tiff),
)


def identify(data: bytes) -> tuple[str, Reader] | None:
    """Return the kind of image these bytes begin like, by Pillow's name for it, and what reads its header."""
    for signature, name, read in _SIGNATURES:
        if signature.match(data):
            return name, read
    return None


def read_header(data: bytes, read: Reader) -> Header:
    """Return what the reader says; raises BrokenImageError and nothing else, whatever the bytes."""
    try:
        return read(data)
    except (struct.error, IndexError, OverflowError):
        # A header that points beyond the end of the file.
        raise BrokenImageError("it ends inside its header") from None
