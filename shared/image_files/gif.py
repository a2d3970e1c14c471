"""GIF (89a)."""

import struct
from typing import Final

from shared.image_files.header import BrokenImageError

MAX_BLOCKS: Final = 200_000
"""Of one chain: 20 MB in blocks as long as they may be are 82,000."""
MAX_PREAMBLE: Final = 512 * 1024
"""Bytes before the first frame."""
MAX_JUNK: Final = 4096
"""Bytes between blocks that are none, before the first frame."""
_MAY_BE_MISSING: Final = 16
"""Bytes of the frame's last block: the pixels may be there all the same."""
_DESCRIPTOR, _TRAILER, _EXTENSION = 0x2C, 0x3B, 0x21


def read_gif(data: bytes) -> tuple[int, int, float]:
    """Return width, height and work; the screen grows to hold the first frame.

    That frame's last, empty block and the trailer may be missing.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position, junk, blocks = 13 + _table(flags), 0, 0
    while data[position] != _DESCRIPTOR:
        if data[position] == _TRAILER:
            raise BrokenImageError("it has no frame")
        if position > MAX_PREAMBLE or junk > MAX_JUNK:
            raise BrokenImageError("too much comes before its first frame")
        # An extension is a mark, a label and blocks; other bytes between blocks are skipped, as decoders do.
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
    # With its trailer in place nothing is cut off: a block's length is what is wrong.
    if end > len(data) + _MAY_BE_MISSING and not data.rstrip(b"\0").endswith(b";"):
        raise BrokenImageError("it ends inside its first frame")
    width, height = max(width, left + frame_width), max(height, top + frame_height)
    work = width * height * 12e-6 + blocks * 0.003 + more * 0.001 + junk * 0.001
    return width, height, work


def _table(flags: int) -> int:
    """Return the length of the colour table that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(data: bytes, position: int) -> tuple[int, int]:
    """Return where a chain of data blocks ends, and how many there are.

    Without its last, empty block it ends a byte beyond the file, cut off inside a block further beyond.
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
