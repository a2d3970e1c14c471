"""Pictures for tests of failures: well-formed files that the gateway accepts and no decoder reads."""

import io
import struct
import zlib

from PIL import Image


def undecodable_png(number: int = 0) -> bytes:
    """Return a PNG whose chunks are right and whose pixels are no zlib stream; each number makes another file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)
    pixels = b"no pixels %d" % number
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def grey_png(number: int, *, size: int = 32) -> bytes:
    """Return a readable PNG; each number makes another."""
    file = io.BytesIO()
    Image.linear_gradient("L").rotate(number * 7 % 360).point(lambda level: (level + number) % 256).resize(
        (size, size)
    ).save(file, "PNG")
    return file.getvalue()
