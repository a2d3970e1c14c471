"""Tells archives from other files: archives are sent as they are, and may not be inside another archive."""

import lzma
import tarfile
import zipfile
import zlib

from shared.domain.archive_formats import archive_format, has_archive_name


def is_sendable(path: str) -> bool:
    """Tell whether a file is an archive that can be sent as it is."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):  # a compressed tar that is cut short
        return False


def is_nested(name: str, start: bytes) -> bool:
    """Tell whether a file in a folder is itself an archive, by its name or first bytes.

    The gateway refuses a whole upload that contains one.
    """
    return has_archive_name(name) or archive_format(start) is not None
