"""Repairs image files whose pixels are fine but whose metadata is not, by writing them anew without it.

Used only after Pillow has refused the file as it came. Text, profiles and other metadata are left out: nothing that
changes a pixel, except an orientation in metadata that can't be read. Pixels are never made up: data that is cut off
stays cut off.
"""

import struct
import zlib
from collections.abc import Iterator

from shared.image_files.header import BrokenImageError
from shared.image_files.jpeg import end_of_header
from shared.image_files.tiff import only_image_tags

_PNG_END = b"\0\0\0\0IEND\xaeB\x60\x82"
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
# JFIF's and Adobe's segments say what the components are.
_JPEG_COLOURS = frozenset({0xE0, 0xEE})
_JPEG_METADATA = frozenset({*range(0xE0, 0xF0), 0xFE}) - _JPEG_COLOURS
_EXIF = 0xE1
_WEBP_KEPT = frozenset({b"VP8X", b"ALPH", b"VP8 ", b"VP8L", b"ANIM", b"ANMF"})
_WEBP_METADATA = 0x2C
"""Flags of VP8X: a profile, EXIF and XMP follow."""
BMP_PADDING = bytes(3)


def repaired_variants(data: bytes, format: str) -> Iterator[bytes]:
    """Yield repaired versions of the file, those that keep its EXIF (the orientation) first."""
    match format:
        case "PNG":
            yield _png(data)
        case "JPEG":
            yield _jpeg(data, without=_JPEG_METADATA - {_EXIF})
            yield _jpeg(data, without=_JPEG_METADATA)
        case "WEBP":
            yield _webp(data, keep=_WEBP_KEPT | {b"EXIF"})
            yield _webp(data, keep=_WEBP_KEPT)
        case "BMP":
            yield data + BMP_PADDING
        case "GIF":
            yield data + b"\0;"
        case "TIFF":
            try:
                yield only_image_tags(data)
            except (BrokenImageError, struct.error):
                return


def _png(data: bytes) -> bytes:
    """Keep the chunks that make the pixels, and EXIF whose checksum is right."""
    kept, position = [data[:8]], 8
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + length + 12
        chunk = data[position:end]
        position = end
        intact = name == b"eXIf" and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if name in _PNG_KEPT or intact:
            kept.append(chunk)
        if name == b"IEND":
            break
    return b"".join([*kept, _PNG_END])


def _jpeg(data: bytes, *, without: frozenset[int]) -> bytes:
    """Leave out the segments with these markers before the first scan."""
    end, segments = end_of_header(data)
    kept = [data[:2], *(data[start:stop] for marker, start, stop in segments if marker not in without)]
    return b"".join([*kept, data[end:]])


def _webp(data: bytes, *, keep: frozenset[bytes]) -> bytes:
    """Keep the chunks of these names, and of an animation only the first frame."""
    kept, position = [b"WEBP"], 12
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        end = position + 8 + length
        if end > len(data):
            break
        chunk = data[position:end] + bytes(length & 1)
        if name == b"VP8X":
            flags = chunk[8] & ~(_WEBP_METADATA if b"EXIF" not in keep else _WEBP_METADATA & ~0x08)
            chunk = chunk[:8] + bytes([flags]) + chunk[9:]
        if name in keep and not (name == b"ANMF" and any(other.startswith(b"ANMF") for other in kept)):
            kept.append(chunk)
        position = end + (length & 1)
    body = b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body
