"""A zip's central directory, an entry at a time (PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 to 4.5).

Not by `zipfile`, which reads the whole directory when it opens a file: of 100,000 entries in 0.5 s without a pause
and into 65 MB, of one with false sizes into any amount. Here it is a window of 1 MB. Tests compare with `zipfile`:
what it finds in an archive is what is found here.
"""

import contextlib
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from shared.domain.errors import ArchiveRefused

# Structures, their signature first; fields that are not used are skipped.
_END: Final = struct.Struct("<4sHHHHLLH")
_END64_LOCATOR: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4s12xLLQQQQ")
_RECORD: Final = struct.Struct("<4s4xHH4xLLLHHH4xLL")
_EXTRA: Final = struct.Struct("<HH")

_LONGEST_COMMENT: Final = 0xFFFF
_LONGEST_RECORD: Final = _RECORD.size + 3 * 0xFFFF
_WINDOW: Final = 1024 * 1024
# In a field of 32 bits: the value is in the zip64 extra field, whose number is 1.
_SEE_ZIP64: Final = 0xFFFFFFFF
_ZIP64: Final = 1
# Info-ZIP's Unicode Path (APPNOTE.TXT, section 4.6.9): a version, the CRC of the name it stands for, the name in UTF-8.
_UNICODE_PATH: Final = 0x7075
_PATH_HEAD: Final = struct.Struct("<BL")
_MOST_EXTRAS: Final = 64


class ZipEntry(NamedTuple):
    """A record of the central directory; `packed` and `size` are bytes before and after unpacking."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    attributes: int
    offset: int
    """Position of its local header in the file."""


class ZipDirectory(NamedTuple):
    """Where a zip's central directory is, and how many entries the zip claims."""

    file: BinaryIO
    start: int
    end: int
    claimed: int

    def entries(self) -> Iterator[ZipEntry]:
        """Yield the entries; the file may be read elsewhere in between. Raises ArchiveRefused for a broken record."""
        position, window, at = self.start, b"", 0
        while position < self.end:
            left = len(window) - at
            if left < _LONGEST_RECORD and position + left < self.end:
                self.file.seek(position)
                window, at = self.file.read(min(_WINDOW, self.end - position)), 0
            entry, length = _read_record(window, at)
            yield entry
            position += length
            at += length


def find_directory(file: BinaryIO) -> ZipDirectory:
    """Read the record at a zip's end; raises ArchiveRefused if there is none, or if its values are impossible."""
    size = file.seek(0, 2)
    tail_start = max(0, size - _END.size - _LONGEST_COMMENT)
    file.seek(tail_start)
    tail = file.read(size - tail_start)
    found = tail.rfind(b"PK\5\6", 0, max(0, len(tail) - _END.size + 4))
    if found < 0:
        raise ArchiveRefused(reason="the zip has no directory at its end; is it cut short?")
    _, *disks, _, claimed, length, offset, _ = _END.unpack_from(tail, found)
    end = tail_start + found
    file.seek(max(0, end - _END64_LOCATOR.size - _END64.size))
    before = file.read(end - file.tell())
    if before[-_END64_LOCATOR.size :].startswith(b"PK\6\7"):
        end -= _END64_LOCATOR.size + _END64.size
        if not before.startswith(b"PK\6\6") or end < 0:
            raise ArchiveRefused(reason="the zip64 record at its end is broken")
        _, *disks, _, claimed, length, offset = _END64.unpack_from(before)
    if any(disks):
        raise ArchiveRefused(reason="it is one of a zip's several parts")
    start = end - length
    if start != offset:
        # Of two zips in one file `zipfile` reads the second and ignores the first silently.
        raise ArchiveRefused(reason="the zip's directory is not where it says; is it damaged, or are these two in one?")
    return ZipDirectory(file=file, start=start, end=end, claimed=claimed)


def _read_record(window: bytes, at: int) -> tuple[ZipEntry, int]:
    """Return the entry whose record stands at `at`, and the record's length; raises ArchiveRefused."""
    if at + _RECORD.size > len(window):
        raise ArchiveRefused(reason="the zip's directory ends inside a record")
    signature, flags, method, crc, packed, size, name_length, extra_length, comment_length, attributes, offset = (
        _RECORD.unpack_from(window, at)
    )
    extra_start = at + _RECORD.size + name_length
    end = extra_start + extra_length + comment_length
    if signature != b"PK\1\2" or end > len(window):
        raise ArchiveRefused(reason="a record of the zip's directory is broken")
    raw_name = window[at + _RECORD.size : extra_start]
    if _SEE_ZIP64 in (size, packed, offset):
        extra = window[extra_start : extra_start + extra_length]
        size, packed, offset = _read_zip64(extra, (size, packed, offset))
    name = _read_name(raw_name, window[extra_start : extra_start + extra_length])
    return ZipEntry(name, raw_name, flags, method, crc, packed, size, attributes, offset), end - at


def _read_name(raw_name: bytes, extra: bytes) -> str:
    """Return an entry's name: from a Unicode Path field made for this name, else decoded by its flag."""
    if extra and (field := _extra(extra, _UNICODE_PATH)) and len(field) > _PATH_HEAD.size:
        version, checksum = _PATH_HEAD.unpack_from(field)
        if version == 1 and checksum == zlib.crc32(raw_name):
            with contextlib.suppress(UnicodeDecodeError):
                return field[_PATH_HEAD.size :].decode()
    try:
        return raw_name.decode()
    except UnicodeDecodeError:
        # Without the flag: the standard's encoding, but macOS writes UTF-8 all the same.
        return raw_name.decode("cp437")


def _extra(extra: bytes, wanted: int) -> bytes:
    """Return the first extra field of this number, empty where there is none."""
    at = 0
    for _ in range(_MOST_EXTRAS):
        if at + _EXTRA.size > len(extra):
            break
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if kind == wanted:
            return extra[at : at + length]
        at += length
    return b""


def _read_zip64(extra: bytes, numbers: tuple[int, int, int]) -> Iterator[int]:
    """Yield the numbers, those over 32 bits from the zip64 extra field; raises ArchiveRefused if it lacks them."""
    field = _extra(extra, _ZIP64)
    for number in numbers:
        if number != _SEE_ZIP64:
            yield number
            continue
        if len(field) < 8:  # noqa: PLR2004  bytes of a number
            raise ArchiveRefused(reason="a record of the zip's directory lacks its zip64 sizes")
        yield int.from_bytes(field[:8], "little")
        field = field[8:]
