"""Image files within the limits of bytes and pixels that are as slow to read or to decode as their format allows."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

MOST_BYTES: Final = 20 * 1024 * 1024
SIDE: Final = 7000
"""49 million pixels, under the limit of 50."""


def _encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _noise(side: int, mode: str = "RGB") -> Image.Image:
    """Return low-contrast noise, whose files are as large as they can be for their pixels."""
    random = np.random.default_rng(side)
    return Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).convert(mode)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(before: bytes = b"", between: bytes = b"", after: bytes = b"") -> bytes:
    """Return a small PNG with chunks before, between and after its data."""
    data = zlib.compress(bytes(33 * 32))
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0))
    body = _chunk(b"IDAT", data[:5]) + between + _chunk(b"IDAT", data[5:])
    return b"\x89PNG\r\n\x1a\n" + header + before + body + after + _chunk(b"IEND", b"")


def _many(piece: bytes, spare: int = 4096) -> bytes:
    return piece * ((MOST_BYTES - spare) // len(piece))


def _flat_png(width: int, height: int, *, depth: int, colour: int, interlaced: int = 0) -> bytes:
    """Return a PNG of zeros: a few kilobytes that inflate to hundreds of megabytes."""
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(9)
    row = bytes(1 + width * samples * depth // 8)
    # Interlaced, the rows are shorter and more; zeros are zeros.
    pixels = b"".join(packer.compress(row) for _ in range(height + (height if interlaced else 0))) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _scans(side: int, scans: int, between: bytes = b"") -> bytes:
    """Return a grey progressive JPEG whose scans change nothing, each a walk over all blocks."""

    def table(kind: int, value: int) -> bytes:
        return b"\xff\xc4" + struct.pack(">HB", 20, kind) + bytes([1] + [0] * 15) + bytes([value])

    def scan(spectrum: tuple[int, int, int], data: bytes) -> bytes:
        return b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\1\0" + bytes(spectrum) + data

    blocks = (-(-side // 8)) ** 2
    start = b"\xff\xd8\xff\xdb" + struct.pack(">HB", 67, 0) + b"\1" * 64
    start += b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, side, side, 1) + b"\1\x11\0"
    start += table(0x00, 0) + table(0x10, 0xE0)
    runs = ("0" + "1" * 14) * -(-blocks // 32767)
    bits = runs + "1" * (-len(runs) % 8)
    band = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    first = scan((0, 0, 0), bytes(-(-blocks // 8))) + between + scan((1, 63, 13), band)
    return start + first + (scan((1, 63, 1 << 4), band) + between) * scans + b"\xff\xd9"


def _jpeg_with(before: bytes) -> bytes:
    small = _encoded(_noise(32), "JPEG")
    return small[:2] + before + small[2:]


def _bitmap(compression: int, depth: int, width: int, height: int, data: bytes) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, compression, len(data), 0, 0, 0, 0)
    offset = 14 + 40 + 4 * (1 << depth)
    palette = bytes(n % 256 for n in range(4 << depth))
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + palette + data


def _gif(width: int, height: int, before: bytes = b"", data: bytes = b"\2\2\x44\1\0") -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return screen + before + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + data + b";"


def _riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) & 1)


def _webp_with(before: bytes, after: bytes) -> bytes:
    picture = _encoded(_noise(32), "WEBP")[12:]
    return _riff(_webp_chunk(b"VP8X", b"\0\0\0\0" + bytes([31, 0, 0, 31, 0, 0])), before, picture, after)


def _animation(frames: int) -> bytes:
    picture = _encoded(Image.new("RGB", (1, 1)), "WEBP", lossless=True)[12:]
    frame = _webp_chunk(b"ANMF", bytes(15) + b"\0" + picture)
    head = _webp_chunk(b"VP8X", b"\2\0\0\0" + bytes([31, 0, 0, 31, 0, 0])) + _webp_chunk(b"ANIM", bytes(6))
    return _riff(head, frame * frames)


def _tiff(width: int, height: int, *, rows: int, compression: int, strips: list[bytes], more: int = 0) -> bytes:
    """Return a grey TIFF with these strips, and unknown tags."""
    offsets, at = [], 8
    for strip in strips:
        offsets.append(at)
        at += len(strip)
    listed = struct.pack(f"<{len(strips)}I", *offsets)
    lengths = struct.pack(f"<{len(strips)}I", *map(len, strips))
    tables = listed + lengths
    one = len(strips) == 1
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    tags += [(273, 4, len(strips), offsets[0] if one else at), (277, 3, 1, 1), (278, 4, 1, rows)]
    tags += [(279, 4, len(strips), len(strips[0]) if one else at + len(listed))]
    tags += [(40_000 + n, 4, 1, n) for n in range(more)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + struct.pack("<I", at + len(tables)) + b"".join(strips) + tables + directory


def _flat_tiff(compression: str) -> bytes:
    return _encoded(Image.new("RGB", (SIDE, SIDE)), "TIFF", compression=compression)


SHAPES: Final[dict[str, Callable[[], bytes]]] = {
    "JPEG, 3,500 scans": lambda: _scans(SIDE, 3500),
    "JPEG, 120 scans": lambda: _scans(SIDE, 120),
    "JPEG, 90 scans": lambda: _scans(SIDE, 90),
    "JPEG, 90 scans of 1,000 x 1,000": lambda: _scans(1000, 90),
    "JPEG, ends in comments between 3,000 scans": lambda: _scans(1000, 3000, b"\xff\xfe\0\4\xff\xd9"),
    "JPEG, 20 MB of fill": lambda: _jpeg_with(b"\xff" * (MOST_BYTES - 4096)),
    "JPEG, 9,000 bytes of fill": lambda: _jpeg_with(b"\xff" * 9000),
    "JPEG, a million comments": lambda: _jpeg_with(_many(b"\xff\xfe\0\2")),
    "JPEG, 1,900 comments": lambda: _jpeg_with(b"\xff\xfe\0\2" * 1900),
    "JPEG, progressive noise": lambda: _encoded(_noise(3800), "JPEG", quality=90, progressive=True),
    "JPEG, 49 million pixels, CMYK": lambda: _encoded(Image.new("CMYK", (SIDE, SIDE)), "JPEG"),
    "JPEG, 49 million pixels, progressive": lambda: _encoded(Image.new("RGB", (SIDE, SIDE)), "JPEG", progressive=True),
    "PNG, empty chunks": lambda: _png(before=_many(_chunk(b"teSt", b""))),
    "PNG, empty chunks after the pixels": lambda: _png(after=_many(_chunk(b"teSt", b""))),
    "PNG, empty IDATs": lambda: _png(between=_many(_chunk(b"IDAT", b""))),
    "PNG, a million texts": lambda: _png(before=_many(_chunk(b"tEXt", b"a\0b"))),
    "PNG, 19,000 texts": lambda: _png(before=_chunk(b"tEXt", b"a\0b") * 19_000),
    "PNG, texts that inflate": lambda: _png(before=_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9)) * 60),
    "PNG, 49 million pixels, 16 bits, interlaced": lambda: _flat_png(SIDE, SIDE, depth=16, colour=6, interlaced=1),
    "PNG, 49 million pixels, 16 bits": lambda: _flat_png(SIDE, SIDE, depth=16, colour=6),
    "PNG, 49 million pixels": lambda: _flat_png(SIDE, SIDE, depth=8, colour=2),
    "PNG, a strip that grows": lambda: _flat_png(190_000, 1, depth=8, colour=2),
    "PNG, 256 x 256": lambda: _encoded(_noise(256), "PNG"),
    "BMP, runs of one": lambda: _bitmap(1, 8, 4000, 4000, _many(b"\1\2")),
    "BMP, runs of half a byte": lambda: _bitmap(2, 4, SIDE, SIDE, _many(b"\xff\x12")),
    "BMP, ends of lines": lambda: _bitmap(1, 8, SIDE, SIDE, _many(b"\0\0")),
    "BMP, 40 KB of runs": lambda: _bitmap(1, 8, 200, 100, b"\1\2" * 20_000),
    "GIF, comments": lambda: _gif(9, 9, before=_many(b"!\xfe\1a\0")),
    "GIF, half a megabyte of comments": lambda: _gif(9, 9, before=b"!\xfe" + b"\1a" * 199_000 + b"\0"),
    "GIF, bytes between blocks": lambda: _gif(9, 9, before=bytes(MOST_BYTES - 4096)),
    "GIF, clear codes": lambda: _gif(SIDE, SIDE, data=b"\2" + (b"\xff" + b"\x24\x49\x92" * 85) * 80_000 + b"\0"),
    "GIF, blocks of one byte": lambda: _gif(SIDE, SIDE, data=b"\2" + b"\1\x24" * 190_000 + b"\0"),
    "GIF, 49 million pixels": lambda: _encoded(Image.new("P", (SIDE, SIDE)), "GIF"),
    "WEBP, empty chunks": lambda: _webp_with(b"", _many(_webp_chunk(b"teSt", b""))),
    "WEBP, empty chunks before the image": lambda: _webp_with(_many(_webp_chunk(b"teSt", b"")), b""),
    "WEBP, frames": lambda: _animation(300_000),
    "WEBP, noise": lambda: _encoded(_noise(4000), "WEBP", quality=80, method=0),
    "WEBP, 49 million pixels": lambda: _encoded(Image.new("RGB", (SIDE, SIDE)), "WEBP", lossless=True, method=0),
    "TIFF, 95,000 strips": lambda: _tiff(4, 95_000, rows=1, compression=1, strips=[bytes(4)] * 95_000),
    "TIFF, 95,000 strips, deflate": lambda: _tiff(
        4, 95_000, rows=1, compression=8, strips=[zlib.compress(bytes(4))] * 95_000
    ),
    "TIFF, a million strips": lambda: _tiff(1, 1_000_000, rows=1, compression=1, strips=[b"\0"] * 1_000_000),
    "TIFF, 4,000 tags": lambda: _tiff(32, 32, rows=32, compression=1, strips=[bytes(1024)], more=4000),
    "TIFF, 60,000 tags": lambda: _tiff(32, 32, rows=32, compression=1, strips=[bytes(1024)], more=20_000),
    "TIFF, deflate": lambda: _flat_tiff("tiff_deflate"),
    "TIFF, LZW": lambda: _flat_tiff("tiff_lzw"),
    "TIFF, PackBits": lambda: _flat_tiff("packbits"),
    "TIFF, LZMA": lambda: _flat_tiff("lzma"),
    "TIFF, JPEG": lambda: _flat_tiff("jpeg"),
}
