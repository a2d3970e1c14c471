"""Reads the headers of JPEG files (ITU T.81, annex B)."""

import re
import struct
from typing import Final

from shared.image_files.header import BrokenImageError, Header, OtherFormatError

# Real files have tens of each; crafted ones have millions.
MAX_SEGMENTS: Final = 2_000
MAX_FILL: Final = 10_000
MAX_SCANS: Final = 100
# Scans are counted in this many bytes: counting takes up to 8 ms a megabyte, and larger files are heavy work anyway.
_COUNTED: Final = 4 * 1024 * 1024

_NOT_FILL: Final = re.compile(rb"[^\xff]")
_IN_SCANS: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A marker that ends a scan's data: not an escaped byte, a restart marker or fill."""
_FILL, _SCAN, _END, _BACK = 0xFF, 0xDA, 0xD9, b"\xff\xd9"
_BITS: Final = 8
# Every start-of-frame marker; C4, C8 and CC are tables and extensions.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_ARITHMETIC: Final = frozenset(range(0xC9, 0xD0)) - {0xCC}
_HIERARCHICAL: Final = frozenset({0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF})
_LOSSLESS_FRAME: Final = 0xF7
"""JPEG-LS (ITU T.87)."""
_STANDALONE: Final = frozenset(range(0xD0, 0xD9)) | {0x00, 0x01}
"""Markers without a segment; 0 is an escaped byte and no marker."""


def read_jpeg(data: bytes) -> Header:
    """Return width, height and work.

    The end marker may be missing where one scan holds the whole image; decoding shows whether that scan is complete.
    """
    position, frame, fill, segments = _first_scan(data)
    if frame is None:
        raise BrokenImageError("it has no frame header before its first scan")
    height, width, components = struct.unpack_from(">HHB", data, frame + 4)
    kind = data[frame]
    if kind in _HIERARCHICAL:
        raise BrokenImageError("it is hierarchical, which is not supported")
    if data[frame + 3] != _BITS:
        raise BrokenImageError(f"its samples have {data[frame + 3]} bits; only 8 are supported")
    # A sequential file with all components in its first scan has no other scan.
    single = kind not in _PROGRESSIVE and data[position + 3] == components
    if data.rfind(_BACK, position) < 0 and not single:
        raise BrokenImageError("it ends inside a scan")
    scans = 1 if single else _scans(data, position)
    # Measured: 4 to 11 ns a pixel of three components, 10 ns a byte; a further scan 2 to 4 ns a pixel, ten times as
    # much in arithmetic coding.
    nanoseconds = 12 if single else 20 + 4 * scans
    work = width * height * nanoseconds * 1e-6 + (len(data) - position) * 6e-6
    if kind in _ARITHMETIC:
        work *= 10
    return width, height, work + segments * 0.02 + fill * 0.003


def _first_scan(data: bytes) -> tuple[int, int | None, int, int]:
    """Return the positions of the first scan's and the frame's marker, and the counts of fill bytes and segments."""
    position, frame, fill = 2, None, 0
    for segments in range(MAX_SEGMENTS):
        position = data.find(b"\xff", position) + 1
        marker = data[position] if position else _END
        if marker == _FILL:
            found = _NOT_FILL.search(data, position, position + MAX_FILL)
            if found is None:
                raise BrokenImageError(f"it ends in fill bytes, or has more than {MAX_FILL:,} of them")
            fill += found.start() - position
            position, marker = found.start(), found[0][0]
        if marker == _SCAN:
            return position, frame, fill, segments
        if marker == _END or fill > MAX_FILL:
            raise BrokenImageError("it ends before its first scan" if marker == _END else "it has too many fill bytes")
        if marker == _LOSSLESS_FRAME:
            raise OtherFormatError("a JPEG-LS image")
        if marker in _FRAMES:
            frame = position
        alone = marker in _STANDALONE
        position += 1 if alone else 1 + int.from_bytes(data[position + 1 : position + 3], "big")
    raise BrokenImageError(f"it has more than {MAX_SEGMENTS:,} segments before its first scan")


def _scans(data: bytes, position: int) -> int:
    """Return the number of scans from the first one's marker on; raises BrokenImageError for more than MAX_SCANS."""
    end = position + _COUNTED
    scans = 1 + data.count(b"\xff\xda", position, end)
    if scans <= MAX_SCANS:
        return scans
    # Some of these markers may be inside segments, or behind the image's end.
    scans = 1
    for _ in range(MAX_SEGMENTS):
        found = _IN_SCANS.search(data, position, end)
        if found is None or data[found.start() + 1] == _END:
            return scans
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
        if data[found.start() + 1] == _SCAN:
            scans += 1
            if scans > MAX_SCANS:
                break
    raise BrokenImageError(f"it has more than {MAX_SCANS} scans")


def end_of_header(data: bytes) -> tuple[int, list[tuple[int, int, int]]]:
    """Return the first scan's position, and the marker, start and end of each segment before it."""
    segments: list[tuple[int, int, int]] = []
    position = 2
    while True:
        start = data.find(b"\xff", position)
        found = _NOT_FILL.search(data, start) if start >= 0 else None
        if found is None or found[0][0] == _SCAN or len(segments) > MAX_SEGMENTS:
            return (start if start >= 0 else len(data)), segments
        position = found.end()
        if found[0][0] not in _STANDALONE:
            position += int.from_bytes(data[position : position + 2], "big")
            segments.append((found[0][0], start, position))


def has_end(data: bytes) -> bool:
    """Tell whether an end marker follows the first scan's marker."""
    start, _ = end_of_header(data)
    return data.rfind(_BACK, start) >= 0
