"""Parts on disk: an archive as it is, files as a zip whose bytes depend on nothing but them."""

import io
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final, NamedTuple, cast

from cli.bulk import archives
from cli.bulk.parts import NOT_READ, Failure, File, Mark, Part, reason
from shared.domain.archive_formats import FIRST_BYTES

CHUNK: Final = 1024**2
_CHANGED: Final = "it changed meanwhile"


class Packed(NamedTuple):
    """A part on disk: the archive, the files that are in it, and those that could not be read."""

    archive: BinaryIO
    files: tuple[File, ...]
    unread: tuple[Failure, ...]

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What the files are known again by."""
        return tuple(file.mark for file in self.files)


@contextmanager
def packed_part(part: Part) -> Iterator[Packed]:
    """Have a part on disk, of it what has not changed since it was planned. Raises OSError where there is no room."""
    if part.is_archive:
        with _archive(part.files[0]) as found:
            yield found
        return
    left, unread = part.files, list[Failure]()
    while True:
        with tempfile.TemporaryFile() as spool:
            failed = _write_zip(cast("BinaryIO", spool), left)
            unread += (_not_read(file, why) for file, why in failed.items())
            left = tuple(file for file in left if file not in failed)
            # Half of a file that changed meanwhile may be in it: all is written anew, without that one.
            if not failed:
                yield Packed(cast("BinaryIO", spool), left, tuple(unread))
                return


@contextmanager
def _archive(file: File) -> Iterator[Packed]:
    try:
        archive = open(file.path, "rb")  # noqa: PTH123, SIM115  closed below
    except OSError as error:
        yield Packed(io.BytesIO(), (), (_not_read(file, reason(error)),))
        return
    with archive:
        same = file.is_the_same(os.fstat(archive.fileno()))
        yield Packed(archive, (file,), ()) if same else Packed(archive, (), (_not_read(file, _CHANGED),))


def _write_zip(spool: BinaryIO, files: Sequence[File]) -> dict[File, str]:
    """Write files into a zip, uncompressed and without dates; return those that could not be read, and why."""
    failed = {}
    with zipfile.ZipFile(spool, "w") as archive:
        for file in files:
            info = zipfile.ZipInfo(file.name)
            info.file_size = file.mark.size
            with archive.open(info, "w") as entry:
                try:
                    for chunk in file_content(file):
                        entry.write(chunk)
                except Unread as why:
                    failed[file] = str(why)
    return failed


class Unread(Exception):
    """A file can't be sent, for this reason."""


def file_content(file: File) -> Iterator[bytes]:
    """Give a file's bytes; raises Unread where it can't be read, is not what was planned, or must not be in a zip."""
    try:
        with open(file.path, "rb") as source:  # noqa: PTH123
            chunk = source.read(CHUNK)
            if archives.is_nested(file.name, chunk[:FIRST_BYTES]):
                raise Unread("an archive in a folder; give its own path to send what it holds")
            while chunk and file.is_the_same(os.fstat(source.fileno())):
                yield chunk
                chunk = source.read(CHUNK)
            if not file.is_the_same(os.fstat(source.fileno())):
                raise Unread(_CHANGED)
    except OSError as error:
        raise Unread(reason(error)) from None


def _not_read(file: File, why: str) -> Failure:
    return Failure(file.name, NOT_READ, why)
