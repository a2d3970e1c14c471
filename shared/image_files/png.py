"""PNG, third edition."""

import struct
import zlib
from typing import Final

from shared.image_files.header import BrokenImageError

# Encoders write data chunks of 8 KB and more: 20 MB are 2,560 of them. Pillow takes 5 µs for each, however empty.
MAX_CHUNKS: Final = 20_000
# A checksum of zlib's and an empty last block may be missing: the pixels are there all the same.
_MAY_BE_MISSING: Final = 16

_END: Final = b"\0\0\0\0IEND\xaeB\x60\x82"
_HEADER: Final = struct.Struct(">8sI4sIIBB2xBII4s")
"""Signature; length, name, content and checksum of IHDR; length and name of the next chunk."""
_CHUNK: Final = struct.Struct(">I4s")
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_NANOSECONDS: Final = {0: 14, 2: 30, 3: 14, 4: 20, 6: 40}
"""What a pixel costs, by colour type: to inflate, to undo the filter, to convert."""
_COMPRESSED: Final = frozenset({b"zTXt", b"iTXt", b"iCCP"})


def read_png(data: bytes) -> tuple[int, int, float]:
    """Return width, height and work; IHDR comes first, the image data is whole, IEND may be missing."""
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
    # Only header, one data chunk and end, as most small files are.
    if next_name == b"IDAT" and next_length + 57 == len(data) and data.endswith(_END):
        return width, height, work
    return width, height, work + _walk(data)


def _walk(data: bytes) -> float:
    """Look at every chunk's name and length; return what Pillow takes for them, in milliseconds."""
    position, size, begun, compressed = 33, len(data), False, 0
    number = 0
    for number in range(MAX_CHUNKS):  # noqa: B007  it is used below
        if position + 8 > size:
            break
        length, name = _CHUNK.unpack_from(data, position)
        if name == b"IDAT":
            begun = True
            # With its end in place nothing is cut off: the length is what is wrong, and Pillow reads on without it.
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
    # What is compressed is inflated to a megabyte at most.
    return number * 0.01 + compressed * 4 + size * 4e-6
