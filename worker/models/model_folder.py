"""Folders that versions are downloaded to: deleted with what needs them, else by the next load on this machine.

A process holds a lock on each of its folders, which ends with it however it ends. A folder whose lock is free is one of
a process that was killed; several loads may delete it at the same time.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "darkroom-version-"


class ModelFolder:
    """A new folder for one version's files, in the system's folder for temporary files."""

    def __init__(self) -> None:
        """Make it; raises OSError where that fails."""
        self.path, self._lock = _make()

    def delete(self) -> None:
        """Delete it with what it holds; called once."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def delete_abandoned_folders() -> None:
    """Delete the folders of processes that were killed; those of other users are left."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = _open(path)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where its process lives
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _make() -> tuple[Path, int]:
    """Return a new folder and the descriptor that locks it; another where it is taken for abandoned before that."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            lock = _open(path)
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
