"""Files that take long to decode."""

import struct
from io import BytesIO

from PIL import Image


def large_picture(number: int) -> bytes:
    """Return a picture of `tests.simulation.pictures` with nine million pixels."""
    file = BytesIO()
    colour = (number >> 16 & 255, number >> 8 & 255, number & 255)
    Image.new("RGB", (3000, 3000), colour).save(file, "PNG")
    return file.getvalue()


def many_scans(width: int, height: int, scans: int) -> bytes:
    """Return a grey progressive JPEG of a few kilobytes whose scans change nothing, each a walk over all blocks."""

    def table(kind: int, value: int) -> bytes:
        return b"\xff\xc4" + struct.pack(">HB", 20, kind) + bytes([1] + [0] * 15) + bytes([value])

    def scan(spectrum: tuple[int, int, int], data: bytes) -> bytes:
        return b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\1\0" + bytes(spectrum) + data

    blocks = -(-width // 8) * -(-height // 8)
    start = b"\xff\xd8\xff\xdb" + struct.pack(">HB", 67, 0) + b"\1" * 64
    start += b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    # The DC scan says category 0 for each block; those after it that the band ends, 32,767 blocks at a time.
    start += table(0x00, 0) + table(0x10, 0xE0)
    runs = ("0" + "1" * 14) * -(-blocks // 32767)
    bits = runs + "1" * (-len(runs) % 8)
    band = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    first = scan((0, 0, 0), bytes(-(-blocks // 8)))
    return start + first + scan((1, 63, 13), band) + scan((1, 63, 1 << 4), band) * scans + b"\xff\xd9"
