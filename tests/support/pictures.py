"""Images to send: digits with new bytes, so that no cache has them, and encoding in every format."""

import base64
import io
import os
import struct
import zlib
from typing import Any

from PIL import Image

_HEADER = 33
"""Length of a PNG's signature and first chunk."""


def renewed(png: bytes) -> bytes:
    """Return a PNG of the same pixels with bytes that nobody has ever sent."""
    text = b"tEXtnonce\0" + os.urandom(12).hex().encode()
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return png[:_HEADER] + chunk + png[_HEADER:]


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """Return an image as a file in a format, by Pillow's name for it."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def data_url(file: bytes, media_type: str = "image/png") -> str:
    """Return a file as a `data:` URL."""
    return f"data:{media_type};base64,{base64.b64encode(file).decode()}"


def opened(data: bytes) -> Image.Image:
    """Return a file's image."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def black(*, width: int, height: int, depth: int, colour: int) -> bytes:
    """Return a PNG of any size in few bytes: all samples 0; `colour` 0 is grey, 3 a palette of one."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(3)) if colour == 3 else b""
    row = bytes(1 + (width * depth + 7) // 8)
    pixels = zlib.compress(row * height, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
