"""Which files are archives: those that are sent as they are, and those that no archive may hold."""

import lzma
import tarfile
import zipfile
import zlib
from typing import Final

FIRST_BYTES: Final = 262
"""As many bytes of a file's start as tell; tar's signature is the last of them."""
_SUFFIXES: Final = (".zip", ".jar", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst")
_SIGNATURES: Final = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")


def is_sendable(path: str) -> bool:
    """Tell whether a file is an archive that can be sent as it is."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):  # begins like a compressed tar and is cut short
        return False


def is_nested(name: str, start: bytes) -> bool:
    """Tell whether a file of a folder is an archive itself, by its name or first bytes.

    The gateway refuses an archive that holds one, as a whole.
    """
    return name.lower().endswith(_SUFFIXES) or start.startswith(_SIGNATURES) or start[257:].startswith(b"ustar")
