"""The seven supported image formats: the first bytes of each, and its header reader.

Headers are read here and not by Pillow, which inflates a PNG's text chunks, allocates a WebP's canvas and reads all
segments of a JPEG without a limit: on the gateway's event loop, and before the size in pixels can be refused. A PNG
takes 1 µs here and 10 µs there. Nothing is decoded; workers find damage inside the pixels.
"""

import re
import struct
from typing import Final

from shared.image_files.bmp import read_bmp
from shared.image_files.gif import read_gif
from shared.image_files.header import BrokenImageError, Header, HeaderReader
from shared.image_files.jpeg import read_jpeg
from shared.image_files.npy import read_npy
from shared.image_files.png import read_png
from shared.image_files.tiff import read_tiff
from shared.image_files.webp import read_webp

SUPPORTED: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "NPY")
MEDIA_TYPES: Final = {name: f"image/{name.lower()}" for name in SUPPORTED} | {"NPY": "image/x-npy"}
"""None is registered for NumPy's arrays."""
HEAVY: Final = 25.0
"""Milliseconds of estimated work from which an image is decoded apart from its micro-batch."""

_SIGNATURES: Final[tuple[tuple[re.Pattern[bytes], str, HeaderReader], ...]] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG", read_png),
    (re.compile(rb"\xff\xd8\xff"), "JPEG", read_jpeg),
    (re.compile(rb"GIF8[79]a"), "GIF", read_gif),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP", read_webp),
    # The header's length (12, 16, 40, 52, 56, 64, 108, 124) is checked too: many texts begin with the letters BM.
    (re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "BMP", read_bmp),
    (re.compile(rb"\x93NUMPY"), "NPY", read_npy),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF", read_tiff),
)


def identify_format(data: bytes) -> tuple[str, HeaderReader] | None:
    """Return the format that these bytes begin like, by Pillow's name, and its header reader; None for any other."""
    for signature, name, read in _SIGNATURES:
        if signature.match(data):
            return name, read
    return None


def read_header(data: bytes, read: HeaderReader) -> Header:
    """Return what the reader returns; raises BrokenImageError and nothing else, whatever the bytes."""
    try:
        return read(data)
    except (struct.error, IndexError, OverflowError):
        # A header that points beyond the end of the file.
        raise BrokenImageError("it ends inside its header") from None
