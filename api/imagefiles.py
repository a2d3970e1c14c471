"""The six kinds of image file: how each begins, its size in pixels, and whether the file is whole.

Headers are read here and not by Pillow: it inflates a PNG's text chunks, allocates a WebP's canvas and walks a JPEG's
segments without a bound, all on the event loop and before the size in pixels can be refused. A PNG costs 1 µs here
and 10 µs there. Nothing is decoded; damage inside the pixels is the worker's to find. Pillow is the oracle of the
tests: what it says of an image's size is what these functions say.
"""

import re
import struct
import zlib
from collections.abc import Callable
from typing import Final

Size = tuple[int, int]
"""Width and height in pixels, as stored: EXIF rotation is the worker's."""

# Real files have tens of each; crafted ones have millions and would keep the event loop busy for seconds.
MAX_JPEG_SEGMENTS: Final = 2_000
MAX_GIF_BLOCKS: Final = 400_000
MAX_GIF_PREAMBLE: Final = 512 * 1024
MAX_TIFF_STRIPS: Final = 200_000


class BrokenImageError(Exception):
    """The file says it is an image of this kind but is broken; the message says how."""


_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB\x60\x82"
_PNG_HEADER = struct.Struct(">8sI4sIIBB3xI")
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def read_png(data: bytes) -> Size:
    """PNG, third edition: the IHDR chunk comes first and carries a checksum, IEND comes last."""
    _, length, name, width, height, depth, colour, checksum = _PNG_HEADER.unpack_from(data)
    if length != 13 or name != b"IHDR":  # noqa: PLR2004  IHDR's fixed length
        raise BrokenImageError("it does not begin with an IHDR chunk")
    if zlib.crc32(data[12:29]) != checksum:
        raise BrokenImageError("the header's checksum does not match")
    if depth not in _PNG_DEPTHS.get(colour, ()):
        raise BrokenImageError(f"colour type {colour} with bit depth {depth} does not exist")
    if not data.endswith(_PNG_END) and data.rfind(_PNG_END) < 0:
        raise BrokenImageError("it ends before its IEND chunk")
    if data.find(b"IDAT", 33) < 0:
        raise BrokenImageError("it has no image data")
    return width, height


_JPEG_FILL = 0xFF
_NOT_FILL = re.compile(rb"[^\xff]")
_JPEG_SCAN = 0xDA
_JPEG_END = 0xD9
# Every start-of-frame marker; C4, C8 and CC are tables and extensions.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_STANDALONE = frozenset(range(0xD0, 0xD9)) | {0x01}


def read_jpeg(data: bytes) -> Size:
    """ITU T.81, annex B: segments up to the scan, with a frame header among them; then an end marker."""
    position, size = 2, None
    for _ in range(MAX_JPEG_SEGMENTS):
        position = data.find(b"\xff", position) + 1
        marker = data[position] if position else _JPEG_END
        if marker == _JPEG_FILL:
            found = _NOT_FILL.search(data, position)
            position, marker = (found.start(), data[found.start()]) if found else (0, _JPEG_END)
        if marker == _JPEG_END:
            raise BrokenImageError("it ends before its first scan")
        if marker in _JPEG_STANDALONE or marker == 0:
            position += 1
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 4)
            size = (width, height)
        if marker == _JPEG_SCAN:
            break
        position += 1 + int.from_bytes(data[position + 1 : position + 3], "big")
    else:
        raise BrokenImageError("it has too many segments before its first scan")
    if size is None:
        raise BrokenImageError("it has no frame header before its first scan")
    if data.rfind(b"\xff\xd9", position) < 0:
        raise BrokenImageError("it ends inside a scan")
    return size


def read_gif(data: bytes) -> Size:
    """GIF89a: a screen that grows to hold the first frame; that frame's data ends in an empty block."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _gif_table(flags)
    while data[position] != 0x2C:  # noqa: PLR2004  image descriptor
        if data[position] == 0x3B:  # noqa: PLR2004  trailer
            raise BrokenImageError("it has no frame")
        if position > MAX_GIF_PREAMBLE:
            raise BrokenImageError("too much comes before its first frame")
        # An extension is a mark, a label and blocks; other bytes between blocks are skipped, as decoders do.
        extension = data[position] == 0x21  # noqa: PLR2004
        position = _gif_blocks(data, position + 2) if extension else position + 1
    left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", data, position + 1)
    if not frame_width or not frame_height:
        raise BrokenImageError("its first frame is empty")
    position = _gif_blocks(data, position + 11 + _gif_table(flags))
    if data.find(b"\x3b", position) < 0:
        raise BrokenImageError("it ends before its trailer")
    return max(width, left + frame_width), max(height, top + frame_height)


def _gif_table(flags: int) -> int:
    """Return the length of the colour table that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_blocks(data: bytes, position: int) -> int:
    """Return where a chain of data blocks ends."""
    for _ in range(MAX_GIF_BLOCKS):
        length = data[position]
        position += length + 1
        if not length:
            return position
    raise BrokenImageError("it has too many blocks")


def read_webp(data: bytes) -> Size:
    """RFC 9649: a RIFF file whose length says whether it is whole; three kinds of first chunk."""
    length, name, chunk = struct.unpack_from("<I4x4sI", data, 4)
    if length + 8 > len(data):
        raise BrokenImageError(f"it has {len(data)} of {length + 8} bytes")
    if chunk + 20 > length + 8:
        raise BrokenImageError("its first chunk is longer than the file")
    if name == b"VP8X":
        numbers = data[24:30]
        return int.from_bytes(numbers[:3], "little") + 1, int.from_bytes(numbers[3:], "little") + 1
    if name == b"VP8L" and data[20] == 0x2F:  # noqa: PLR2004  its signature
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise BrokenImageError("it does not begin with an image chunk")


# The header of OS/2's editions, by its length; Windows' are longer.
_BMP_CORE = 12
_BMP_RAW = frozenset({0, 3, 6})


def read_bmp(data: bytes) -> Size:
    """Windows bitmap: the pixels' place and size follow from the header; compressed ones from the file's length."""
    declared, offset, header = struct.unpack_from("<I4xII", data, 2)
    if header == _BMP_CORE:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
    height = abs(height)  # negative: stored from the top down
    if width < 0 or not offset:
        raise BrokenImageError("its header makes no sense")
    raw = compression in _BMP_RAW
    end = offset + (width * depth + 31) // 32 * 4 * height if raw else declared
    if end > len(data):
        raise BrokenImageError(f"it has {len(data)} of {end} bytes")
    return width, height


_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_PLACES = ((273, 279), (324, 325))
"""Offsets and lengths of the strips, or of the tiles."""


def read_tiff(data: bytes) -> Size:
    """TIFF 6.0 and BigTIFF: the first directory's strips or tiles must lie inside the file."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    tags = _tiff_directory(data, order, big=big)
    try:
        size = (tags[_TIFF_WIDTH][0], tags[_TIFF_HEIGHT][0])
    except (KeyError, IndexError):
        raise BrokenImageError("its first directory has no width and height") from None
    for offsets, lengths in _TIFF_PLACES:
        if places := tags.get(offsets):
            # Lengths are sometimes left out; each strip then has a byte at least.
            ends = map(int.__add__, places, tags.get(lengths) or (1,) * len(places))
            if max(ends) > len(data):
                raise BrokenImageError("image data lies beyond its end")
            return size
    raise BrokenImageError("its first directory has no image data")


def _tiff_directory(data: bytes, order: str, *, big: bool) -> dict[int, tuple[int, ...]]:
    """Return the numbers of the first directory's tags that say how large the image is and where it lies."""
    word, count, entry, width = ("Q", "Q", "HHQ", 20) if big else ("I", "H", "HHI", 12)
    inline = struct.calcsize(f"{order}{word}")
    (start,) = struct.unpack_from(order + word, data, 8 if big else 4)
    (entries,) = struct.unpack_from(order + count, data, start)
    start += struct.calcsize(order + count)
    wanted = {_TIFF_WIDTH, _TIFF_HEIGHT, *(tag for pair in _TIFF_PLACES for tag in pair)}
    tags: dict[int, tuple[int, ...]] = {}
    for place in range(start, start + min(entries, 0xFFFF) * width, width):
        tag, kind, amount = struct.unpack_from(order + entry, data, place)
        # Of a tag that comes twice the first counts, as for Pillow: a second width must not pass for the image's.
        if tag not in wanted or tag in tags or kind not in _TIFF_NUMBERS:
            continue
        if amount > MAX_TIFF_STRIPS:
            raise BrokenImageError("its first directory lists too many strips")
        layout = f"{order}{amount}{_TIFF_NUMBERS[kind]}"
        value = place + width - inline
        if struct.calcsize(layout) > inline:
            (value,) = struct.unpack_from(order + word, data, value)
        tags[tag] = struct.unpack_from(layout, data, value)
    return tags


SUPPORTED: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MEDIA_TYPES: Final = {name: f"image/{name.lower()}" for name in SUPPORTED}

_SIGNATURES = (
    (re.compile(re.escape(_PNG_START)), "PNG", read_png),
    (re.compile(rb"\xff\xd8\xff"), "JPEG", read_jpeg),
    (re.compile(rb"GIF8[79]a"), "GIF", read_gif),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP", read_webp),
    # With the header's length (12, 40, 52, 56, 64, 108, 124): two letters alone would take a text for a bitmap.
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "BMP", read_bmp),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF", read_tiff),
)


def identify(data: bytes) -> tuple[str, Callable[[bytes], Size]] | None:
    """Return the kind of image these bytes begin like, by Pillow's name for it, and what reads its size."""
    for signature, name, read_size in _SIGNATURES:
        if signature.match(data):
            return name, read_size
    return None
