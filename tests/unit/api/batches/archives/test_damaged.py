"""Damaged archives: refused, or read as `zipfile` and `tarfile` read them; nothing else, whatever the damage."""

import gzip
import io
import tarfile
import tracemalloc
import warnings
import zipfile

from hypothesis import given, settings
from hypothesis import strategies as st

from api.batches.archives.entries import is_folder, tidy_path
from api.batches.archives.items import Item, clean_name
from shared.domain.errors import ArchiveRefused, UploadTooLarge
from shared.domain.file_names import is_clutter
from tests.support.mutations import damaged
from tests.unit.api.batches.archives.building import a_tar, a_zip, an_archive, read
from tests.unit.api.batches.archives.test_archive import PICTURES, with_checksums

FUZZING = settings(deadline=None, derandomize=True, max_examples=600)
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


def shown(name: str) -> str | None:
    """Return how an entry of this name is called, None where it is no image's."""
    path = tidy_path(name)
    return None if is_folder(path) or is_clutter(path) else clean_name(path)


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
            if name := shown(entry.orig_filename):
                try:
                    found.append((name, archive.read(entry)))
                except Exception:  # noqa: BLE001  what it raises for damage is an open set
                    found.append((name, None))
    return found


def by_tarfile(data: bytes) -> list[tuple[str, bytes]] | None:
    """Return names and contents of what it takes for files; None where it can't read the archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            files = [member for member in archive if member.isfile() and shown(member.name or "unnamed")]
            return [(str(shown(file.name)), archive.extractfile(file).read()) for file in files]  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return None


@FUZZING
@given(damaged(ZIPS))
def test_a_damaged_zip_is_refused_or_read_as_zipfile_reads_it(data: bytes) -> None:
    found, expected = ours(data), by_zipfile(data)
    if found is None or expected is None:
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
def test_a_damaged_archive_takes_no_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        ours(data)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_MEMORY
