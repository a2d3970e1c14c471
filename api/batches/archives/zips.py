"""A zip: checked without unpacking it, then read an image at a time (PKWARE's APPNOTE.TXT 6.3.10)."""

import stat
import struct
import zlib
from collections.abc import Iterator
from heapq import heappop, heappush
from io import BytesIO
from typing import BinaryIO, Final

from api.batches.archives.entries import (
    Tally,
    has_image_name,
    is_folder,
    is_left_out,
    refusal,
    safe_path,
    tidy_path,
)
from api.batches.archives.items import Item, Skipped, clean_name
from api.batches.archives.zip_directory import ZipDirectory, ZipEntry, find_directory
from shared.domain.archive_formats import FIRST_BYTES
from shared.domain.errors import ArchiveRefused
from shared.settings import Bulk

_LOCAL_HEADER: Final = struct.Struct("<4s4xH16xHH")
_PIECE: Final = 256 * 1024
_DOS_FOLDER: Final = 0x10

_STORED: Final = 0
_DEFLATED: Final = 8
_METHODS: Final = {
    1: "shrink",
    6: "implode",
    9: "deflate64",
    12: "bzip2",
    14: "lzma",
    93: "zstd",
    95: "xz",
    97: "wavpack",
    98: "ppmd",
    99: "AES encryption",
}
# Encrypted, strongly encrypted, with an encrypted directory.
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_KINDS: Final = {
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


class _DamagedError(Exception):
    """An entry can't be read; the message says why."""


class ZipArchive:
    """A zip on disk."""

    def __init__(self, file: BinaryIO, *, limits: Bulk, max_image_bytes: int) -> None:
        self.skipped = Skipped()
        self._file = file
        self._limits = limits
        self._max_image_bytes = max_image_bytes

    def check(self) -> Iterator[None]:
        """Check every entry's headers; raises ArchiveRefused or UploadTooLarge."""
        self.skipped = Skipped()
        tally = Tally(self._limits, packed=self._file.seek(0, 2))
        directory = find_directory(self._file)
        tally.expect(directory.claimed)
        regions: list[int] = []
        for entry in directory.entries():
            tally.entry()
            tally.unpacked(entry.size)
            # One number takes half the memory of a tuple: 56 bytes an entry.
            heappush(regions, entry.offset << 64 | self._check_entry(entry, directory))
            yield
        # Without zip64 the count is written with 16 bits.
        if len(regions) & 0xFFFF != directory.claimed & 0xFFFF:
            raise ArchiveRefused(reason=f"it claims {directory.claimed:,} entries and has {len(regions):,}")
        yield from _refuse_overlaps(regions)

    def items(self) -> Iterator[Item]:
        """Yield the images of an archive that was checked; one that can't be read has a problem."""
        directory = find_directory(self._file)
        for entry in directory.entries():
            path = tidy_path(entry.name)
            if not (_is_folder(entry, path) or self._is_left_out(entry, path, directory)):
                yield self._read_item(clean_name(path), entry)

    def _read_item(self, name: str, entry: ZipEntry) -> Item:
        if entry.size > self._max_image_bytes:
            return Item(name, b"", f"{entry.size:,} bytes are over the limit of {self._max_image_bytes:,}")
        try:
            return Item(name, self._unpack(entry))
        except _DamagedError as error:
            return Item(name, b"", f"it is damaged in the archive: {error}")

    def _check_entry(self, entry: ZipEntry, directory: ZipDirectory) -> int:
        """Return where an entry's data ends; raises ArchiveRefused if it is not allowed."""
        path = safe_path(entry.name)
        if kind := _KINDS.get(stat.S_IFMT(entry.attributes >> 16)):
            raise refusal(f"an entry is {kind}", entry.name)
        if entry.flags & _ENCRYPTED:
            raise refusal("an entry is encrypted", entry.name)
        if entry.method not in (_STORED, _DEFLATED):
            method = _METHODS.get(entry.method, f"method {entry.method}")
            raise refusal(f"an entry is compressed with {method}; use deflate, or store it", entry.name)
        # Deflate adds five bytes to 64 KB that don't compress; much more serves only to keep the reader busy.
        if entry.packed > 2 * entry.size + _PIECE or (entry.method == _STORED and entry.packed != entry.size):
            raise refusal("an entry's packed and unpacked sizes contradict", entry.name)
        start = self._find_data(entry, directory)
        if not _is_folder(entry, path) and self._is_left_out(entry, path, directory):
            self.skipped.add(path)
        return start + entry.packed

    def _is_left_out(self, entry: ZipEntry, path: str, directory: ZipDirectory) -> bool:
        """Tell whether an entry is skipped, with the same answer each time; raises ArchiveRefused.

        Links are followed by nothing: what they lead to is sent under its own name, or is none of the archive's.
        """
        if stat.S_IFMT(entry.attributes >> 16) == stat.S_IFLNK:
            return True
        start = b"" if has_image_name(path) else self._first_bytes(entry, self._find_data(entry, directory))
        return is_left_out(path, start)

    def _find_data(self, entry: ZipEntry, directory: ZipDirectory) -> int:
        """Return where an entry's data starts; raises ArchiveRefused if its local header differs from the directory."""
        after_name = entry.offset + _LOCAL_HEADER.size + len(entry.raw_name)
        if after_name > directory.start:
            raise refusal("an entry lies behind the archive's end", entry.name)
        self._file.seek(entry.offset)
        header = self._file.read(after_name - entry.offset)
        signature, method, name_length, extra_length = _LOCAL_HEADER.unpack_from(header)
        found = (signature, method, name_length, header[_LOCAL_HEADER.size :])
        if found != (b"PK\3\4", entry.method, len(entry.raw_name), entry.raw_name):
            raise refusal("an entry's header is not as the directory has it", entry.name)
        start = after_name + int(extra_length)
        if start + entry.packed > directory.start:
            raise refusal("an entry's data runs into the directory", entry.name)
        return start

    def _first_bytes(self, entry: ZipEntry, start: int) -> bytes:
        """Return an entry's first bytes, unpacked; fewer or none if they are damaged."""
        self._file.seek(start)
        if entry.method == _STORED:
            return self._file.read(min(entry.packed, FIRST_BYTES))
        packed = self._file.read(min(entry.packed, _PIECE))
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, FIRST_BYTES)
        except zlib.error:
            return b""

    def _unpack(self, entry: ZipEntry) -> bytes:
        """Return an entry's data; raises _DamagedError."""
        self._file.seek(entry.offset)
        *_, name_length, extra_length = _LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size))
        self._file.seek(name_length + extra_length, 1)
        data = self._file.read(entry.packed) if entry.method == _STORED else self._inflate(entry)
        if len(data) != entry.size:
            raise _DamagedError("it ends early" if len(data) < entry.size else "it is longer than it claims")
        if zlib.crc32(data) != entry.crc:
            raise _DamagedError("its checksum does not match")
        return data

    def _inflate(self, entry: ZipEntry) -> bytes:
        """Inflate from the file's position, at most a byte more than the entry claims; raises _DamagedError."""
        inflater, data = zlib.decompressobj(-zlib.MAX_WBITS), BytesIO()
        packed, room = entry.packed, entry.size + 1
        try:
            while packed and room and not inflater.eof:
                room -= data.write(inflater.decompress(self._file.read(min(packed, _PIECE)), room))
                packed -= min(packed, _PIECE)
        except zlib.error as error:
            raise _DamagedError(str(error).rpartition(": ")[2]) from None
        return data.getvalue()


def _is_folder(entry: ZipEntry, path: str) -> bool:
    """Tell whether an entry is a folder: by the slash it ends with, or by its attributes (DOS', or Unix')."""
    if is_folder(path):
        return True
    is_one = entry.attributes & _DOS_FOLDER or stat.S_ISDIR(entry.attributes >> 16)
    return bool(is_one) and not entry.size


def _refuse_overlaps(regions: list[int]) -> Iterator[None]:
    """Raise ArchiveRefused if two entries share bytes, as in Fifield's zip bomb of 2019."""
    free = 0
    while regions:
        region = heappop(regions)
        if region >> 64 < free:
            raise ArchiveRefused(reason="entries overlap, which only a bomb's do")
        free = region & 0xFFFF_FFFF_FFFF_FFFF
        yield
