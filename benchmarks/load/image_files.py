"""Files of many images, and stamping: the same pixels in different bytes, so that no cache answers."""

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_LENGTH: Final = struct.Struct("<I")
_IDAT: Final = 33
"""Where the data chunk of the PNGs that Pillow writes begins: after the signature and IHDR."""
_ZLIB_HEADER: Final = 2
_BLOCKS: Final = 8
_BITS: Final = 5
"""An empty stored block of deflate (RFC 1951, 3.2.4) has this many bits that every reader ignores."""


def write(path: Path, images: Iterable[bytes]) -> None:
    """Write encoded images one after the other, each behind its length."""
    with path.open("wb") as file:
        for image in images:
            file.write(_LENGTH.pack(len(image)))
            file.write(image)


def read(path: Path) -> list[bytes]:
    """Return the images of a file that `write` made."""
    content, images, position = path.read_bytes(), [], 0
    while position < len(content):
        (length,) = _LENGTH.unpack_from(content, position)
        position += _LENGTH.size
        images.append(content[position : position + length])
        position += length
    return images


def stamped(image: bytes, number: int) -> bytes:
    """Return the same picture, PNG or JPEG, with `number` (below 2**40) in it: another digest, the same pixels.

    A picture is predicted once by the bare loop, and what that said holds in every later run, where the
    stamp keeps the cache from answering. A PNG takes it as empty blocks before its compressed data: a text
    chunk would do, but would keep the decoder from its short way with plain PNGs.
    """
    if image.startswith(b"\x89PNG"):
        return _stamped_png(image, number)
    comment = number.to_bytes(8, "big")
    return image[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + image[2:]


def _stamped_png(image: bytes, number: int) -> bytes:
    (length,) = struct.unpack_from(">I", image, _IDAT)
    data = image[_IDAT + 8 : _IDAT + 8 + length]
    blocks = b"".join(bytes(((number >> _BITS * block & 0x1F) << 3, 0, 0, 0xFF, 0xFF)) for block in range(_BLOCKS))
    chunk = b"IDAT" + data[:_ZLIB_HEADER] + blocks + data[_ZLIB_HEADER:]
    whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return image[:_IDAT] + whole + image[_IDAT + 12 + length :]
