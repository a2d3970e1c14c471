"""Which disks of a home are full: of all that a stack then says, this is what helps."""

import os
from pathlib import Path
from typing import Final

LEAST_FREE: Final = 16 * 1024**2
"""Bytes that count as full: one of Postgres' log segments."""


def full_disks(home: Path) -> list[str]:
    """Return a line for each full disk that the home, or a folder in it, is on; none where nothing can be asked."""
    folders: dict[int, tuple[Path, int]] = {}
    try:
        for path in (home, *sorted(path for path in home.iterdir() if path.is_dir())):
            facts = os.statvfs(path)
            folders.setdefault(path.stat().st_dev, (path, facts.f_bavail * facts.f_frsize))
    except OSError:
        return []
    return [
        f"The disk of {path} is full ({free / 1_000_000:.0f} MB free). Make room there: all goes on by itself then."
        for path, free in folders.values()
        if free < LEAST_FREE
    ]
