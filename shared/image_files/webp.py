"""Reads the headers of WebP files (RFC 9649): a RIFF file that begins with one of three kinds of chunk."""

import struct
from typing import Final

from shared.image_files.header import BrokenImageError, Header

MAX_CHUNKS: Final = 1_000
"""Chunks before the image's own at most; real files have a colour profile and an animation's parameters there."""
_IMAGES: Final = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
_LOSSLESS_SIGNATURE: Final = 0x2F


def read_webp(data: bytes) -> Header:
    """Return width, height and work. The first image's chunk must be whole; what follows it may be cut off."""
    size = len(data)
    length, name, chunk = struct.unpack_from("<I4x4sI", data, 4)
    if name == b"VP8X":
        numbers = data[24:30]
        if len(numbers) < 6:  # noqa: PLR2004  two numbers of three bytes
            raise BrokenImageError("it ends inside its header")
        width, height = int.from_bytes(numbers[:3], "little") + 1, int.from_bytes(numbers[3:], "little") + 1
        end = _image_end(data, 20 + chunk + (chunk & 1))
    elif name == b"VP8L" and data[20] == _LOSSLESS_SIGNATURE:
        bits = int.from_bytes(data[21:25], "little")
        width, height, end = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 20 + chunk
    elif name == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        width, height, end = width & 0x3FFF, height & 0x3FFF, 20 + chunk
    else:
        raise BrokenImageError("it does not begin with an image chunk")
    if end > size:
        raise BrokenImageError(f"it has {size} of {max(end, length + 8)} bytes")
    # Measured: 12 to 22 ns a pixel; 90 ns a byte of lossy noise. A chunk costs only the step over it.
    return width, height, width * height * 25e-6 + size * 90e-6


def _image_end(data: bytes, position: int) -> int:
    """Return the position where the first image's chunk ends."""
    for _ in range(MAX_CHUNKS):
        name, length = struct.unpack_from("<4sI", data, position)
        if name in _IMAGES:
            return position + 8 + int(length)
        position += 8 + length + (length & 1)
    raise BrokenImageError(f"it has more than {MAX_CHUNKS:,} chunks before its image")
