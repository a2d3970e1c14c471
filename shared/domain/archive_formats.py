"""Recognises archives by name and by first bytes."""

import re
from typing import Final

FIRST_BYTES: Final = 262
"""How many bytes of a file's start `archive_format` needs: tar's signature ends there."""

_SUFFIXES: Final = (
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


def has_archive_name(path: str) -> bool:
    """Tell whether a path ends in an archive's suffix."""
    return path.lower().endswith(_SUFFIXES)


def archive_format(start: bytes) -> str | None:
    """Return the format (`zip`, `gzip`, `tar`, …) of an archive that begins with these bytes, or None."""
    return next((name for name, signature in _SIGNATURES if signature.match(start)), None)
