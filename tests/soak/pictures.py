"""Pictures that carry a number, and files that carry none. Standard library only."""

import random
import struct
import zlib

CLASSES = 1000
"""The model answers with the number's remainder, moved by its version: see `right_class`."""


FAILING = 5
"""The third version of the model raises for numbers that this divides."""


def picture(number: int) -> bytes:
    """Return a PNG of one pixel whose three bytes are the number (0 to 2**24 - 1)."""
    return _png(zlib.compress(bytes((0, *number.to_bytes(3, "big")))))


def right_class(number: int, version: str) -> int:
    """Return what a version of the model must answer for a number's picture."""
    return (number + int(version)) % CLASSES


def broken_file(chance: random.Random) -> bytes:
    """Return a file that nobody can predict: no picture at all, half of one, or one without pixels."""
    whole = picture(chance.randrange(2**24))
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 2000))
    if kind == 1:
        return whole[: chance.randrange(8, len(whole) - 30)]  # the pixel itself is gone
    if kind == 2:
        return b"\xff\xd8\xff\xe0" + chance.randbytes(chance.randrange(2, 3000))
    return _png(b"\x78\x9cno pixels" + chance.randbytes(8))


def _png(data: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
