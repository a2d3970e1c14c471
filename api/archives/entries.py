"""What holds for every entry of an archive, whatever the archive: safe paths, no archive in an archive, limits."""

import re
from typing import Final

from api.archives.items import clean_name
from shared.domain.errors import ArchiveRefused, UploadTooLarge
from shared.settings import Bulk

FIRST_BYTES: Final = 262
"""As many bytes of a file's start as `archive_format` looks at: tar's signature is the last of them."""

_ABSOLUTE: Final = re.compile(r"/|[A-Za-z]:/")
_HERE: Final = re.compile(r"\A(\./+)+")
_IMAGES: Final = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp"),
    *(".gif", ".bmp", ".dib", ".tif", ".tiff"),
)
_ARCHIVES: Final = (
    *(".zip", ".jar", ".7z", ".rar", ".tar", ".gz", ".tgz"),
    *(".bz2", ".tbz2", ".xz", ".txz", ".zst"),
)
_SIGNATURES: Final = (
    ("zip", re.compile(rb"PK(\x03\x04|\x05\x06|\x07\x08)")),
    ("gzip", re.compile(rb"\x1f\x8b\x08")),
    ("bzip2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")),
    ("xz", re.compile(rb"\xfd7zXZ\x00")),
    ("zstd", re.compile(rb"\x28\xb5\x2f\xfd")),
    ("7z", re.compile(rb"7z\xbc\xaf\x27\x1c")),
    ("rar", re.compile(rb"Rar!\x1a\x07")),
    ("tar", re.compile(rb".{257}ustar", re.DOTALL)),
)


def archive_format(start: bytes) -> str | None:
    """Return which kind of archive begins like this, or None."""
    return next((name for name, signature in _SIGNATURES if signature.match(start)), None)


def tidy_path(name: str) -> str:
    """Return an entry's path with `/` between its parts and without a `./` before them."""
    return _HERE.sub("", name.replace("\\", "/"))


def safe_path(name: str) -> str:
    """Return an entry's tidy path; raises ArchiveRefused where it leads out of the folder one would unpack it to."""
    path = tidy_path(name)
    if _ABSOLUTE.match(path):
        raise refusal("an entry has an absolute path", name)
    if ".." in path.split("/"):
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


def refuse_nested(path: str, start: bytes) -> None:
    """Raise ArchiveRefused if an entry of this name that begins like this is an archive."""
    if path.lower().endswith(_ARCHIVES):
        raise refusal("it holds another archive; unpack that one first", path)
    if found := archive_format(start):
        raise refusal(f"it holds another archive, by its first bytes a {found} file", path)


def refusal(reason: str, name: str) -> ArchiveRefused:
    """Return the error about the entry of this name, which may be anything."""
    return ArchiveRefused(reason=reason, entry=clean_name(name) or None)


class Tally:
    """Counts what an archive of `packed` bytes holds; raises UploadTooLarge or ArchiveRefused beyond the limits."""

    def __init__(self, limits: Bulk, *, packed: int) -> None:
        self._limits = limits
        self._packed = packed
        self._entries = 0
        self._unpacked = 0

    def expect(self, entries: int) -> None:
        """Refuse an archive that claims so many entries."""
        if entries > self._limits.max_entries:
            raise UploadTooLarge(size=entries, limit=self._limits.max_entries, unit="entries")

    def entry(self) -> None:
        """Count an entry."""
        self._entries += 1
        self.expect(self._entries)

    def unpacked(self, size: int) -> None:
        """Count bytes that were or will be unpacked."""
        self._unpacked = total = self._unpacked + size
        limits = self._limits
        if total > limits.max_unpacked_bytes:
            raise UploadTooLarge(size=total, limit=limits.max_unpacked_bytes, unit="unpacked bytes")
        if total > limits.ratio_from_bytes and total > limits.max_ratio * self._packed:
            times = total // self._packed
            raise ArchiveRefused(
                reason=f"it grows {times:,} times when it is unpacked; the limit is {limits.max_ratio:,}"
            )
