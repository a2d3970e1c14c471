"""Damaged archives are refused, or read as `zipfile` and `tarfile` read them, whatever the damage."""

import gzip
import io
import tarfile
import tracemalloc
import warnings
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.batches.archives.entries import is_folder, is_left_out, tidy_path
from api.batches.archives.items import Item, clean_name
from shared.domain.archive_formats import FIRST_BYTES
from shared.domain.errors import ArchiveRefused, UploadTooLarge
from tests.support.archives import a_tar, a_zip, an_archive, read
from tests.support.damaged_files import damaged
from tests.unit.api.batches.archives.test_archive import PICTURES, with_checksums

pytestmark = pytest.mark.slow  # 1,800 damaged archives

FUZZING = settings(derandomize=True, max_examples=600)
ZIPS = [
    an_archive("zip", PICTURES),
    a_zip(PICTURES, zipfile.ZIP_STORED, b"comment"),
    a_zip([("cats/", b""), *PICTURES]),
]
TARS = [a_tar([("n" * 300, b"x" * 700), *PICTURES], format=format) for format in (1, 2)] + [a_tar(PICTURES)]
# A tar's headers, of 256 KB altogether, a piece of 64 KB and an entry of 10; twice over.
MOST_MEMORY = 700_000


def ours(data: bytes) -> list[Item] | None:
    """Return what we read, None where we refuse."""
    try:
        return read(data, max_unpacked_bytes=300_000)
    except (ArchiveRefused, UploadTooLarge):
        return None


def shown(name: str, content: bytes) -> str | None:
    """Return the name of the image that an entry of this name and content is, None where it is no image."""
    path = tidy_path(name)
    return None if is_folder(path) or is_left_out(path, content[:FIRST_BYTES]) else clean_name(path)


def beginning(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return an entry's first bytes, none where they can't be read."""
    try:
        with archive.open(entry) as file:
            return file.read(FIRST_BYTES)
    except Exception:  # noqa: BLE001  what it raises for damage is an open set
        return b""


def by_zipfile(data: bytes) -> list[tuple[str, bytes | None]] | None:
    """Return names and contents, None for one it can't read; None where it can't read the archive."""
    found: list[tuple[str, bytes | None]] = []
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return None
    with archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for entry in archive.infolist():
            if name := shown(entry.orig_filename, beginning(archive, entry)):
                try:
                    found.append((name, archive.read(entry)))
                except Exception:  # noqa: BLE001  what it raises for damage is an open set
                    found.append((name, None))
    return found


def by_tarfile(data: bytes) -> list[tuple[str, bytes]] | None:
    """Return names and contents of what it takes for files; None where it can't read the archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            files = [(member.name, archive.extractfile(member).read()) for member in archive if member.isfile()]  # type: ignore[union-attr]
            return [(name, data) for path, data in files if (name := shown(path or "unnamed", data))]
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return None


@FUZZING
@given(damaged(ZIPS))
def test_a_damaged_zip_is_refused_or_read_as_zipfile_reads_it(data: bytes) -> None:
    if (found := ours(data)) is None or (expected := by_zipfile(data)) is None:
        return
    # The names it decodes are of another encoding where none is named.
    assert len(found) == len(expected)
    for item, (name, content) in zip(found, expected, strict=True):
        assert item.name == name or not name.isascii()
        # What we call damaged, an entry that is shorter than it claims, it may read.
        assert item.problem or item.data == content


@FUZZING
@given(damaged(TARS, mend=with_checksums), st.booleans())
def test_a_damaged_tar_is_refused_or_read_as_tarfile_reads_it(data: bytes, zipped: bool) -> None:  # noqa: FBT001
    found = ours(gzip.compress(data, 1) if zipped else data)
    if found is None or (expected := by_tarfile(data)) is None:
        return
    # Of a long name whose header says that it is shorter, tarfile takes what follows in its block too.
    lying = data[156:157] == tarfile.GNUTYPE_LONGNAME
    for item, (name, content) in zip(found, expected, strict=True):
        assert item.name == name or lying
        assert item.problem or item.data == content


@FUZZING
@given(damaged([*ZIPS, *(gzip.compress(tar, mtime=0) for tar in TARS)], mend=with_checksums))
def test_reading_a_damaged_archive_takes_little_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        ours(data)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_MEMORY
