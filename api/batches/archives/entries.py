"""Rules for entries of any archive: safe paths, no archives inside archives, limits."""

import re
from typing import Final

from api.batches.archives.items import clean_name
from api.uploads.unsupported_files import is_text
from shared.domain.archive_formats import archive_format, has_archive_name
from shared.domain.errors import ArchiveRefused, UploadTooLarge
from shared.domain.file_names import has_suffix, is_clutter, is_document, is_office_document
from shared.image_files.formats import identify_format
from shared.settings import Bulk

_ABSOLUTE: Final = re.compile(r"/|[A-Za-z]:/")
_HERE: Final = re.compile(r"\A(\./+)+")
_IMAGES: Final = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp"),
    *(".gif", ".bmp", ".dib", ".tif", ".tiff", ".npy"),
)


def tidy_path(name: str) -> str:
    """Return an entry's path with `/` between its parts and without a `./` before them."""
    path = name.replace("\\", "/")
    return _HERE.sub("", path) if path.startswith("./") else path


def safe_path(name: str) -> str:
    """Return an entry's tidy path; raises ArchiveRefused where it leads out of the archive's own folder."""
    path = tidy_path(name)
    if _ABSOLUTE.match(path):
        raise refusal("an entry has an absolute path", name)
    if ".." in path and ".." in path.split("/"):
        raise refusal("an entry has '..' in its path", name)
    if not clean_name(name):
        raise refusal("an entry has no name", name)
    return path


def is_folder(path: str) -> bool:
    """Tell whether a tidy path is a folder's."""
    return not path or path.endswith("/")


def has_image_name(path: str) -> bool:
    """Tell whether a path ends like an image's."""
    return path.lower().endswith(_IMAGES)


def is_left_out(path: str, start: bytes) -> bool:
    """Tell whether an entry is skipped: clutter, a document, a table, a text. `start` is its first bytes.

    Content decides: an image counts under any name, and an entry with an image's name counts and may fail. Raises
    ArchiveRefused for an archive.
    """
    if is_clutter(path):
        return True
    if has_image_name(path) or identify_format(start):
        return False
    if is_office_document(path):
        return True
    refuse_nested(path, start)
    return is_document(path) or (has_suffix(path) and is_text(start))


def refuse_nested(path: str, start: bytes) -> None:
    """Raise ArchiveRefused if an entry of this name that begins like this is an archive."""
    if has_archive_name(path):
        raise refusal("it holds another archive; unpack that one first", path)
    if found := archive_format(start):
        raise refusal(f"it holds another archive, by its first bytes a {found} file", path)


def refusal(reason: str, name: str) -> ArchiveRefused:
    """Return the error about an entry; its name may hold anything."""
    return ArchiveRefused(reason=reason, entry=clean_name(name) or None)


class Tally:
    """Counts what an archive of `packed` bytes holds; raises UploadTooLarge or ArchiveRefused beyond the limits."""

    def __init__(self, limits: Bulk, *, packed: int) -> None:
        self._limits = limits
        self._packed = packed
        self._entries = 0
        self._unpacked = 0

    def expect(self, entries: int) -> None:
        """Refuse an archive with more entries than the limit."""
        if entries > self._limits.max_entries:
            raise UploadTooLarge(size=entries, limit=self._limits.max_entries, unit="entries")

    def entry(self) -> None:
        """Count an entry."""
        self._entries += 1
        self.expect(self._entries)

    def unpacked(self, size: int) -> None:
        """Count bytes after unpacking."""
        self._unpacked = total = self._unpacked + size
        limits = self._limits
        if total > limits.max_unpacked_bytes:
            raise UploadTooLarge(size=total, limit=limits.max_unpacked_bytes, unit="unpacked bytes")
        if total > limits.ratio_from_bytes and total > limits.max_ratio * self._packed:
            times = total // self._packed
            raise ArchiveRefused(
                reason=f"it grows {times:,} times when it is unpacked; the limit is {limits.max_ratio:,}"
            )
