"""Reads the headers of PNG files (PNG, third edition)."""

import struct
import zlib
from typing import Final

from shared.image_files.header import BrokenImageError, Header

# Encoders write data chunks of 8 KB and more: 20 MB are 2,560 chunks. Pillow takes 5 µs for each, even an empty one.
MAX_CHUNKS: Final = 20_000
# Bytes that may be missing: zlib's checksum and an empty last block hold no pixels.
_MAY_BE_MISSING: Final = 16

_END: Final = b"\0\0\0\0IEND\xaeB\x60\x82"
_HEADER: Final = struct.Struct(">8sI4sIIBB2xBII4s")
"""Signature; length, name, content and checksum of IHDR; length and name of the next chunk."""
_CHUNK: Final = struct.Struct(">I4s")
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_NANOSECONDS: Final = {0: 14, 2: 30, 3: 14, 4: 20, 6: 40}
"""Cost of a pixel by colour type: inflating, undoing the filter, converting."""
_COMPRESSED: Final = frozenset({b"zTXt", b"iTXt", b"iCCP"})


def read_png(data: bytes) -> Header:
    """Return width, height and work. IHDR must come first and the image data be whole; IEND may be missing."""
    _, length, name, width, height, depth, colour, interlaced, checksum, next_length, next_name = _HEADER.unpack_from(
        data
    )
    if length != 13 or name != b"IHDR":  # noqa: PLR2004  IHDR's fixed length
        raise BrokenImageError("it does not begin with an IHDR chunk")
    if zlib.crc32(data[12:29]) != checksum:
        raise BrokenImageError("the header's checksum does not match")
    if depth not in _DEPTHS.get(colour, ()):
        raise BrokenImageError(f"colour type {colour} with bit depth {depth} does not exist")
    work = width * height * _NANOSECONDS[colour] * 1e-6
    if depth == 16:  # noqa: PLR2004
        work *= 2
    if interlaced:
        work *= 2
    # Header, one data chunk and end: most small files. Nothing more to read.
    if next_name == b"IDAT" and next_length + 57 == len(data) and data.endswith(_END):
        return width, height, work
    return width, height, work + _walk(data)


def _walk(data: bytes) -> float:
    """Read every chunk's name and length; return the milliseconds that Pillow takes for them."""
    position, size, begun, compressed = 33, len(data), False, 0
    number = 0
    for number in range(MAX_CHUNKS):  # noqa: B007  used below
        if position + 8 > size:
            break
        length, name = _CHUNK.unpack_from(data, position)
        if name == b"IDAT":
            begun = True
            # If IEND is there nothing was cut off: the length is wrong, and Pillow ignores it.
            if position + 8 + length > size + _MAY_BE_MISSING and data.rfind(b"IEND") < 0:
                raise BrokenImageError("it ends inside its image data")
        elif name == b"IEND":
            break
        elif name in _COMPRESSED:
            compressed += 1
        position += length + 12
    else:
        raise BrokenImageError(f"it has more than {MAX_CHUNKS:,} chunks")
    if not begun:
        raise BrokenImageError("it has no image data")
    # Pillow inflates a compressed chunk to a megabyte at most.
    return number * 0.01 + compressed * 4 + size * 4e-6
