"""Archives in memory for the tests of `api.batches.archives`: valid ones, and ones with a false field."""

import gzip
import io
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import pytest

from api.batches.archives.archive import Archive, open_archive
from api.batches.archives.items import Item
from shared.domain.errors import ArchiveRefused, UploadTooLarge
from shared.settings import Bulk

KINDS: Final = ("zip", "tar", "tar.gz")
MOST: Final = 10_000
# Made once for all examples: settings read the environment, a millisecond each.
bulk_settings = cache(Bulk)

# Structures of a zip and, in the directory's records, where fields are.
LOCAL, RECORD, END, END64 = b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6"
FLAGS, METHOD, CRC, PACKED, SIZE, ATTRIBUTES, OFFSET = 8, 10, 16, 20, 24, 38, 42

Entries = Iterable[tuple[str, bytes]]


def an_archive(kind: str, entries: Entries) -> bytes:
    """Make one of files, and of folders where a name ends with a slash."""
    if kind == "zip":
        return a_zip(entries)
    tar = a_tar(entries)
    return gzip.compress(tar) if kind == "tar.gz" else tar


def a_zip(entries: Entries, compression: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.filterwarnings("ignore", message="Duplicate name")
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
        archive.comment = comment
    return buffer.getvalue()


def a_member(name: str, *, kind: bytes = tarfile.REGTYPE, size: int = 0, **fields: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    for field, value in fields.items():
        setattr(member, field, value)
    return member


def a_tar(entries: Entries, *, format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for name, data in entries:
            kind = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(a_member(name, kind=kind, size=len(data)), io.BytesIO(data))
    return buffer.getvalue()


def blocks(member: tarfile.TarInfo, data: bytes = b"", *, format: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a member's blocks in a tar, without an end mark."""
    return member.tobuf(format) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def patched(data: bytes, structure: bytes, at: int, format: str, value: int, *, nth: int = 0) -> bytes:
    """Overwrite a number in the nth of these structures."""
    start = -1
    for _ in range(nth + 1):
        start = data.index(structure, start + 1)
    changed = bytearray(data)
    struct.pack_into(format, changed, start + at, value)
    return bytes(changed)


def opened(data: bytes, *, most: int = MOST, **limits: Any) -> Archive:
    return open_archive(io.BytesIO(data), limits=bulk_settings(**limits), max_image_bytes=most)


def read(data: bytes, **rest: Any) -> list[Item]:
    """Check an archive and return what is in it."""
    archive = opened(data, **rest)
    for _ in archive.check():
        pass
    return list(archive.items())


def refused(data: bytes, **rest: Any) -> ArchiveRefused:
    with pytest.raises(ArchiveRefused) as raised:
        read(data, **rest)
    return raised.value


def too_large(data: bytes, **rest: Any) -> UploadTooLarge:
    with pytest.raises(UploadTooLarge) as raised:
        read(data, **rest)
    return raised.value
