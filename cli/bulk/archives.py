"""Which files are archives: those that are sent as they are, and those that no archive may hold."""

import lzma
import tarfile
import zipfile
import zlib

from shared.domain.archive_formats import archive_format, has_archive_name


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
    return has_archive_name(name) or archive_format(start) is not None
