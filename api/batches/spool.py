"""The file in which an uploaded archive lies while it is read; it has no name and goes with its process."""

import errno
from datetime import timedelta
from io import FileIO
from tempfile import TemporaryFile
from typing import Final

from shared.domain.errors import StorageUnavailable

SPOOL_FULL: Final = timedelta(seconds=60)
"""After this long a client may try again where the disk was full."""


def open_spool(folder: object) -> FileIO:
    """Return a file in `folder` (None: the system's for temporary files); raises StorageUnavailable.

    It is gone when it is closed or its process is killed.
    """
    try:
        # Unbuffered: the last bytes of a buffer would be written on closing, where no error is expected.
        return TemporaryFile(buffering=0, dir=None if folder is None else str(folder))
    except OSError as error:
        raise StorageUnavailable(store=f"the spool folder ({error.strerror})", retry_after=SPOOL_FULL) from None


def write_spool(file: FileIO, data: bytes) -> None:
    """Write all of `data`; raises StorageUnavailable where the disk is full."""
    left = memoryview(data)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageUnavailable(store="the spool folder (it is full)", retry_after=SPOOL_FULL) from None
        raise
