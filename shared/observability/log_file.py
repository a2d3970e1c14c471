"""Bounds the file that is a process' standard output: a full one is renamed to `<name>.1`, in place of the one before.

What a model prints counts too, also from C: the file descriptors themselves are led to the new file, as of servers that
logrotate tells to open their logs again. No line is lost, since each is written to one of the two. Processes may share
a file: a lock on the full one lets one of them rename it. One that is killed in between leaves no file under the name,
which the next one makes.
"""

import fcntl
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

LARGEST: Final = 20 * 1024 * 1024
"""Bytes from which on a file is full."""
_PAUSE: Final = 1.0
"""Seconds between two looks: what a process prints in that time comes on top of LARGEST."""
_STANDARD: Final = (1, 2)
_PRIVATE: Final = 0o600


class LogFile:
    """The file at a path, as far as these descriptors write to it; others of them are left alone."""

    def __init__(self, path: Path, *, descriptors: Sequence[int] = _STANDARD, largest: int = LARGEST) -> None:
        self._path = path
        self._largest = largest
        self._descriptors = [one for one in descriptors if _same(one, path)]

    def turn(self) -> None:
        """Rename a full file, and write to the one that has the name now. Safe to repeat; raises OSError."""
        if not self._descriptors:
            return
        writer = self._descriptors[0]
        held = os.fstat(writer)
        if held.st_size >= self._largest:
            with self._path.open("rb") as file:  # processes may share a descriptor, and with it a lock
                fcntl.flock(file, fcntl.LOCK_EX)
                if _same(writer, self._path):  # else another process was faster
                    self._path.replace(older(self._path))
        if _same(writer, self._path):
            return
        new = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        try:
            for one in self._descriptors:
                if os.path.samestat(os.fstat(one), held):
                    os.dup2(new, one)
        finally:
            os.close(new)


def older(path: Path) -> Path:
    """Return what a full file is renamed to."""
    return path.with_name(f"{path.name}.1")


@cache
def keep_bounded(path: str) -> None:
    """Bound the file that is this process' standard output or error, until it ends; other files are left alone."""
    file = LogFile(Path(path))

    def watch() -> None:
        while True:
            time.sleep(_PAUSE)
            with suppress(OSError):  # no space or no descriptor is left: what is open goes on being written
                file.turn()

    threading.Thread(target=watch, name="log-file", daemon=True).start()


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:  # no file has the name, or the descriptor is closed
        return False
