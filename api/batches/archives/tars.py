"""A tar, plain or in gzip (POSIX.1-2008 pax, and GNU's long names): checked whole, then read an image at a time.

A header's block is `tarfile`'s to parse. What follows it is not: `tarfile` takes any bad header for the archive's
end, and a pax header of 64 KB can take 1 GB of memory and 3 s there (CPython before 3.11.10 and 3.12.6).
"""

import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from api.batches.archives.entries import Tally, is_folder, is_left_out, refusal, safe_path, tidy_path
from api.batches.archives.items import Item, Skipped, clean_name
from api.batches.archives.unpacking import PIECE, Unpacking, gunzip, read_pieces
from shared.domain.archive_formats import FIRST_BYTES
from shared.domain.errors import ArchiveRefused
from shared.settings import Bulk

_BLOCK: Final = tarfile.BLOCKSIZE
_NOTHING: Final = bytes(_BLOCK)
# Headers with paths (up to 4 KB) and extended attributes (to 64 KB) stand before an entry's own: usually one or two, of
# ten records. Without these limits a tar.gz of 80 MB can take a quarter of an hour to check; with them two minutes.
_MOST_HEADERS: Final = 8
_MOST_HEADER_BYTES: Final = 256 * 1024
_MOST_RECORDS: Final = 64
_PAX: Final = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG: Final = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_EXTENDED: Final = (*_PAX, *_LONG, tarfile.XGLTYPE)
_FILES: Final = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
# Links are skipped: their target is in the archive under its own name, or is no part of it.
_LINKS: Final = (tarfile.LNKTYPE, tarfile.SYMTYPE)
_REFUSED: Final = {
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_PAX_RECORD: Final = re.compile(rb"([1-9][0-9]{0,9}) ")
_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_CUT_SHORT: Final = "the tar has no end; is it cut short?"


class _Member(NamedTuple):
    """An entry whose data comes next: `size` bytes, none for a folder or a link."""

    name: str
    size: int
    folder: bool = False
    link: bool = False

    @property
    def blocks(self) -> int:
        """Bytes up to the next header."""
        return -(-self.size // _BLOCK) * _BLOCK


class TarArchive:
    """A tar on disk, in gzip or not."""

    def __init__(self, file: BinaryIO, *, zipped: bool, limits: Bulk, max_image_bytes: int) -> None:
        self.skipped = Skipped()
        self._file = file
        self._zipped = zipped
        self._limits = limits
        self._max_image_bytes = max_image_bytes

    def check(self) -> Iterator[None]:
        """Unpack everything once to check it; raises ArchiveRefused or UploadTooLarge."""
        self.skipped = Skipped()
        tally, tar = self._unpack()
        while member := _next_member(tar):
            tally.entry()
            yield from self._check_member(member, tar)
        # Bytes after the end would be ignored silently by GNU tar; and gzip's checksum comes last.
        while rest := tar.read(PIECE):
            if rest.strip(b"\0"):
                raise ArchiveRefused(reason="there are bytes after the tar's end; are these two archives in one?")
            yield

    def items(self) -> Iterator[Item]:
        """Yield the images of an archive that was checked."""
        _, tar = self._unpack()
        while member := _next_member(tar):
            path = tidy_path(member.name)
            if member.folder or is_folder(path) or member.link:
                _pass_over(tar, member.blocks)
                continue
            start = tar.read(min(member.size, FIRST_BYTES))
            if is_left_out(path, start):
                _pass_over(tar, member.blocks - len(start))
            else:
                yield self._read_item(clean_name(path), member, start, tar)

    def _unpack(self) -> tuple[Tally, Unpacking]:
        tally = Tally(self._limits, packed=self._file.seek(0, 2))
        pieces = gunzip(self._file, most_members=self._limits.max_entries) if self._zipped else read_pieces(self._file)
        return tally, Unpacking(pieces, tally)

    def _read_item(self, name: str, member: _Member, start: bytes, tar: Unpacking) -> Item:
        if member.size > self._max_image_bytes:
            _pass_over(tar, member.blocks - len(start))
            return Item(name, b"", f"{member.size:,} bytes are over the limit of {self._max_image_bytes:,}")
        data = tar.read(member.size - len(start), after=start)
        _pass_over(tar, member.blocks - member.size)
        return Item(name, data)

    def _check_member(self, member: _Member, tar: Unpacking) -> Iterator[None]:
        """Read one entry's data; raises ArchiveRefused if it is not allowed."""
        path = safe_path(member.name)
        start = tar.read(min(member.size, FIRST_BYTES))
        if not (member.folder or is_folder(path)) and (member.link or is_left_out(path, start)):
            self.skipped.add(path)
        yield
        yield from tar.skip(member.blocks - len(start))


def _pass_over(tar: Unpacking, size: int) -> None:
    for _ in tar.skip(size):
        pass


def _next_member(tar: Unpacking) -> _Member | None:
    """Read headers up to the next entry's data, None at the end; raises ArchiveRefused."""
    name, size, extended, room = "", None, 0, _MOST_HEADER_BYTES
    while header := _read_header(tar):
        if header.type not in _EXTENDED:
            return _as_member(header, name=name or header.name, size=header.size if size is None else size)
        extended, room = extended + 1, room - header.size
        if extended > _MOST_HEADERS or room < 0:
            most = f"{_MOST_HEADERS} headers or {_MOST_HEADER_BYTES:,} bytes of them"
            raise refusal(f"an entry has over {most}", header.name)
        body = tar.read(header.size)
        _pass_over(tar, -header.size % _BLOCK)
        if header.type == tarfile.GNUTYPE_LONGNAME:
            name = body.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        elif header.type in _PAX:
            name, size = _read_pax(body, name=name, size=size)
    if extended:
        raise ArchiveRefused(reason=_CUT_SHORT)
    return None


def _read_header(tar: Unpacking) -> tarfile.TarInfo | None:
    """Read one header block, None at the end mark; raises ArchiveRefused."""
    block = tar.read(_BLOCK)
    if block == _NOTHING:
        return None
    if len(block) < _BLOCK:
        raise ArchiveRefused(reason=_CUT_SHORT)
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise ArchiveRefused(reason=f"a header of the tar is broken, or there is no tar in it: {error}") from None
    if header.size < 0:
        raise refusal("an entry has a size below zero", header.name)
    return header


def _as_member(header: tarfile.TarInfo, *, name: str, size: int) -> _Member:
    """Return the entry of this header; raises ArchiveRefused if it is neither a file, a folder nor a link."""
    if header.type == tarfile.DIRTYPE:
        return _Member(name, size=0, folder=True)
    if header.type in _LINKS:
        if size:
            # Readers disagree whether its data or the next entry follows.
            raise refusal("an entry is a link with data", name)
        return _Member(name, size=0, link=True)
    if header.type not in _FILES:
        kind = _REFUSED.get(header.type, f"of a kind ({header.type!r}) that is not unpacked")
        raise refusal(f"an entry is {kind}", name)
    return _Member(name, size=size)


def _read_pax(body: bytes, *, name: str, size: int | None) -> tuple[str, int | None]:
    """Return the name and size that a pax header gives, the given ones where it gives none; raises ArchiveRefused."""
    at = 0
    for _ in range(_MOST_RECORDS):
        if not (found := _PAX_RECORD.match(body, at)):
            break
        end = at + int(found[1])
        keyword, equals, value = body[found.end() : end - 1].partition(b"=")
        if not equals or body[end - 1 : end] != b"\n":
            break
        at = end
        if keyword == b"path":
            name = value.decode("utf-8", "surrogateescape")
        elif keyword == b"size":
            text = value.decode("ascii", "replace")
            if not _NUMBER.fullmatch(text):
                raise ArchiveRefused(reason="a pax header has a size that is no number")
            size = int(text)
        elif keyword.startswith(b"GNU.sparse."):
            raise refusal("an entry is a sparse file", name)
    if body[at:].strip(b"\0"):
        raise ArchiveRefused(reason=f"a pax header is broken, or has over {_MOST_RECORDS} records")
    return name, size
