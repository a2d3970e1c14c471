"""Reads the headers of GIF files (GIF89a)."""

import struct
from typing import Final

from shared.image_files.header import BrokenImageError, Header

MAX_BLOCKS: Final = 200_000
"""Blocks of one chain at most: 20 MB in blocks of full length are 82,000."""
MAX_PREAMBLE: Final = 512 * 1024
"""Bytes before the first frame at most."""
MAX_JUNK: Final = 4096
"""Bytes before the first frame, at most, that belong to no block."""
_MAY_BE_MISSING: Final = 16
"""Bytes at the end of a frame's last block that may be missing: all pixels may be there nevertheless."""
_DESCRIPTOR, _TRAILER, _EXTENSION = 0x2C, 0x3B, 0x21


def read_gif(data: bytes) -> Header:
    """Return width, height and work. The size is the screen's, enlarged to hold the first frame.

    That frame's last, empty block and the trailer may be missing.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position, junk, blocks = 13 + _table(flags), 0, 0
    while data[position] != _DESCRIPTOR:
        if data[position] == _TRAILER:
            raise BrokenImageError("it has no frame")
        if position > MAX_PREAMBLE or junk > MAX_JUNK:
            raise BrokenImageError("too much comes before its first frame")
        # An extension is a marker, a label and blocks. Other bytes between blocks are skipped, as decoders do.
        if data[position] == _EXTENSION:
            position, more = _blocks(data, position + 2)
            blocks += more
        else:
            position += 1
            junk += 1
    left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", data, position + 1)
    if not frame_width or not frame_height:
        raise BrokenImageError("its first frame is empty")
    end, more = _blocks(data, position + 11 + _table(flags))
    # If the trailer is there nothing was cut off: a block's length is wrong.
    if end > len(data) + _MAY_BE_MISSING and not data.rstrip(b"\0").endswith(b";"):
        raise BrokenImageError("it ends inside its first frame")
    width, height = max(width, left + frame_width), max(height, top + frame_height)
    work = width * height * 12e-6 + blocks * 0.003 + more * 0.001 + junk * 0.001
    return width, height, work


def _table(flags: int) -> int:
    """Return the length in bytes of the colour table that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(data: bytes, position: int) -> tuple[int, int]:
    """Return the position where a chain of data blocks ends, and how many blocks it has.

    The position is one byte beyond the file's end where the last, empty block is missing, and further beyond where the
    file is cut off inside a block.
    """
    size = len(data)
    for number in range(MAX_BLOCKS):
        if position >= size:
            return position + 1, number
        length = data[position]
        position += length + 1
        if not length:
            return position, number
    raise BrokenImageError(f"it has more than {MAX_BLOCKS:,} data blocks in a row")
