"""The file in which an uploaded archive lies while it is read; it has no name and goes with its process.

Archives never fill their disk: Redis and Postgres may be on the same one, and Redis ends where it can't write.
"""

import errno
import os
from datetime import timedelta
from io import FileIO
from tempfile import TemporaryFile
from typing import Final

from shared.domain.errors import StorageUnavailable

SPOOL_FULL: Final = timedelta(seconds=60)
"""After this long a client may try again where the disk was full."""

LEFT_FREE: Final = 1024 * 1024 * 1024
"""Bytes of its disk that archives leave free, or a tenth of a disk that is smaller than ten times that."""


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
    """Write all of `data`; raises StorageUnavailable where the disk is full, or would have too little left."""
    disk = os.fstatvfs(file.fileno())
    free, every = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    if free - len(data) < min(LEFT_FREE, every // 10):
        raise StorageUnavailable(store="the spool folder (its disk is nearly full)", retry_after=SPOOL_FULL)
    left = memoryview(data)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageUnavailable(store="the spool folder (it is full)", retry_after=SPOOL_FULL) from None
        raise
