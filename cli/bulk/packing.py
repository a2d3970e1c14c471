"""Packs a part to upload: an archive as it is, files as a zip whose bytes depend only on them."""

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
    """A packed part: the archive, the files in it, and those that could not be read."""

    archive: BinaryIO
    files: tuple[File, ...]
    unread: tuple[Failure, ...]

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marks of the files."""
        return tuple(file.mark for file in self.files)


@contextmanager
def packed_part(part: Part) -> Iterator[Packed]:
    """Pack a part, without files that changed since they were planned. Raises OSError where the disk is full."""
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
            # A file that changed while it was read may be half in the zip: write it again without that file.
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
    """Write files into a zip, uncompressed and without dates; return the unreadable ones with the reason."""
    failed = {}
    with _new_zip(spool) as archive:
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


@contextmanager
def _new_zip(spool: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Write a zip in the block; where that raises, the zip is given up, and the error is the block's own.

    Closing it would raise ValueError where Ctrl-C came while an entry was begun, and the command would not end as
    interrupted.
    """
    with zipfile.ZipFile(spool, "w") as archive:
        try:
            yield archive
        except BaseException:
            archive.fp = None  # closed, as `ZipFile.close` takes it
            raise


class Unread(Exception):
    """A file can't be sent; the message says why."""


def file_content(file: File) -> Iterator[bytes]:
    """Yield a file's bytes; raises Unread where it can't be read, has changed, or is an archive."""
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
