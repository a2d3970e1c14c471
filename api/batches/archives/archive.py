"""An uploaded archive: checked as a whole, so that no image of a bad one is enqueued, then read image by image."""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol

from api.batches.archives.items import Item, Skipped
from api.batches.archives.tars import TarArchive
from api.batches.archives.zips import ZipArchive
from shared.domain.archive_formats import archive_format
from shared.domain.errors import ArchiveRefused
from shared.settings import Bulk

_FORMATS: Final = "send zip, tar or tar.gz"


class Archive(Protocol):
    """Images in one file. Run `check` to its end, then `items`; each step may run in another thread.

    Takes the memory of one image, and in a zip 56 bytes an entry.
    """

    skipped: Skipped
    """Clutter, documents and links among the entries, known after `check`."""

    def check(self) -> Iterator[None]:
        """Check all entries, in short steps; raises ArchiveRefused or UploadTooLarge."""

    def items(self) -> Iterator[Item]:
        """Yield every image in order; one that is too large or damaged has a problem."""


def open_archive(file: BinaryIO, *, limits: Bulk, max_image_bytes: int) -> Archive:
    """Return the archive of the kind that the file's first bytes show; raises ArchiveRefused where they show none."""
    file.seek(0)
    start = file.read(tarfile.BLOCKSIZE)
    match archive_format(start):
        case "zip":
            return ZipArchive(file, limits=limits, max_image_bytes=max_image_bytes)
        case "gzip":
            return TarArchive(file, zipped=True, limits=limits, max_image_bytes=max_image_bytes)
        case "tar":
            return TarArchive(file, zipped=False, limits=limits, max_image_bytes=max_image_bytes)
        case None if _is_old_tar(start):
            return TarArchive(file, zipped=False, limits=limits, max_image_bytes=max_image_bytes)
        case None:
            raise ArchiveRefused(reason=f"it is {'no archive' if start else 'empty'}; {_FORMATS}")
        case other:
            raise ArchiveRefused(reason=f"it is a {other} file; {_FORMATS}")


def _is_old_tar(start: bytes) -> bool:
    """Tell whether these bytes begin a tar from before 1988, which has no signature; an empty one is all zeros."""
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return start == bytes(tarfile.BLOCKSIZE)
    return True
