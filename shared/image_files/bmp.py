"""Reads the headers of BMP files: Windows and OS/2 bitmaps."""

import struct
from typing import Final

from shared.image_files.header import BrokenImageError, Header

# Length of OS/2's first header; Windows' headers are longer.
_CORE: Final = 12
_RUN_LENGTH: Final = frozenset({1, 2})
"""Compressions by run length."""
_DEPTHS: Final = {0: (1, 4, 8, 16, 24, 32), 1: (8,), 2: (4,), 3: (16, 32), 6: (16, 32)}


def read_bmp(data: bytes) -> Header:
    """Return width, height and work. The file must hold all pixels, whose length the header gives unless compressed.

    The padding of the last row, to a multiple of four bytes, may be missing.
    """
    offset, header = struct.unpack_from("<II", data, 10)
    if header == _CORE:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, depth = struct.unpack_from("<iiHH", data, 18)
        compression = struct.unpack_from("<I", data, 30)[0] if header > 16 else 0  # noqa: PLR2004  OS/2's short header has none
    height = abs(height)  # negative: stored from the top down
    if width < 0 or not offset:
        raise BrokenImageError("its header is invalid")
    if depth not in _DEPTHS.get(compression, ()):
        raise BrokenImageError(f"{depth} bits with compression {compression} is not supported")
    if compression in _RUN_LENGTH:
        # Pillow's own reader of runs is Python: 0.4 µs a byte.
        return width, height, width * height * 10e-6 + len(data) * 1e-3
    used = (width * depth + 7) // 8
    row = (used + 3) // 4 * 4
    end = offset + row * height - (row - used) if height else offset
    if end > len(data):
        raise BrokenImageError(f"it has {len(data)} of {end} bytes")
    return width, height, width * height * 10e-6
