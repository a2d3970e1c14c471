"""Windows and OS/2 bitmaps."""

import struct
from typing import Final

from shared.image_files.header import BrokenImageError

# The headers of OS/2's editions, by their length; Windows' are longer.
_CORE: Final = 12
_RUNS: Final = frozenset({1, 2})
_DEPTHS: Final = {0: (1, 4, 8, 16, 24, 32), 1: (8,), 2: (4,), 3: (16, 32), 6: (16, 32)}


def read_bmp(data: bytes) -> tuple[int, int, float]:
    """Return width, height and work; where the pixels end follows from the header, unless they are compressed.

    The last row may lack what fills it up to a multiple of four bytes.
    """
    offset, header = struct.unpack_from("<II", data, 10)
    if header == _CORE:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, depth = struct.unpack_from("<iiHH", data, 18)
        compression = struct.unpack_from("<I", data, 30)[0] if header > 16 else 0  # noqa: PLR2004  OS/2's short one
    height = abs(height)  # negative: stored from the top down
    if width < 0 or not offset:
        raise BrokenImageError("its header makes no sense")
    if depth not in _DEPTHS.get(compression, ()):
        raise BrokenImageError(f"{depth} bits with compression {compression} are not read")
    if compression in _RUNS:
        # Pillow's own reader of runs is Python: 0.4 µs a byte.
        return width, height, width * height * 10e-6 + len(data) * 1e-3
    used = (width * depth + 7) // 8
    row = (used + 3) // 4 * 4
    end = offset + row * height - (row - used) if height else offset
    if end > len(data):
        raise BrokenImageError(f"it has {len(data)} of {end} bytes")
    return width, height, width * height * 10e-6
