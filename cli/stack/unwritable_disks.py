"""Which disks of a home can't be written: of all that a stack then says, this is what helps."""

import errno
import os
from pathlib import Path
from typing import Final

LEAST_FREE: Final = 16 * 1024**2
"""Bytes that count as full: one of Postgres' log segments."""
_REFUSES: Final = (errno.EROFS, errno.EIO)
"""What a disk answers that is read-only, or that the system made so after an error."""


def unwritable_disks(home: Path) -> list[str]:
    """Return a line for each full or read-only disk that the home, or a folder in it, is on."""
    folders: dict[int, Path] = {}
    try:
        for path in (home, *sorted(path for path in home.iterdir() if path.is_dir())):
            folders.setdefault(path.stat().st_dev, path)
    except OSError:
        return []
    return [line for path in folders.values() if (line := _refusal(path) or _fullness(path))]


def _fullness(path: Path) -> str:
    """Return that the disk is full; empty where it has room, or can't be asked."""
    try:
        facts = os.statvfs(path)
    except OSError:
        return ""
    free = facts.f_bavail * facts.f_frsize
    if free >= LEAST_FREE:
        return ""
    return f"The disk of {path} is full ({free / 1_000_000:.0f} MB free). Make room there: all goes on by itself then."


def _refusal(path: Path) -> str:
    """Return that the disk takes no writes and why; empty where it does, or this system can't tell."""
    nameless = getattr(os, "O_TMPFILE", None)
    if nameless is None:  # only Linux has it, and not for every disk
        return ""
    try:
        # Not by asking the mount: of ext4 after an error, Linux says there that it is writable.
        os.close(os.open(path, os.O_WRONLY | nameless, 0o600))
    except OSError as error:
        if error.errno not in _REFUSES:
            return ""
        return f"The disk of {path} can't be written: {error.strerror}. Repair it and start the stack again."
    return ""
