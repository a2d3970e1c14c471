"""A home is its owner's alone: what is made in it is, and what an earlier release left readable becomes so."""

import os
import stat
from pathlib import Path
from typing import Final

UMASK: Final = 0o077
"""For everything that `up` starts: nothing that is made is anybody else's to read."""
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OWN_FOLDERS: Final = ("bulk", "held-out", "logs", "mlflow", "ports", "redis", "scratch")
_OWN_FILES: Final = ("beat-schedule", "mlflow.env", "state.json", "supervisor.lock")
_DATABASE: Final = "postgres"
"""Postgres keeps its folder closed by itself, and where root runs it, under a user of its own."""


class NotPrivate(Exception):
    """A folder can't be made a home: others could put files of theirs where ours are looked for."""


def make_home(home: Path) -> None:
    """Make the folder everything is kept in, or close to others the one that is there; raises NotPrivate.

    Safe to repeat and to break off anywhere: each step only takes rights away.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = home.stat()
    if facts.st_mode & stat.S_ISVTX:
        raise NotPrivate(f"Everybody may write to {home}. Choose a folder of your own: --home {home / 'darkroom'}")
    if facts.st_uid != os.geteuid():
        raise NotPrivate(f"{home} belongs to another user, who could replace what is in it. Choose another folder.")
    _tighten(home)
    (home / "logs").mkdir(mode=0o700, exist_ok=True)


def _tighten(home: Path) -> None:
    """Take from others what they may do with our files, and with the folder itself where it holds only ours.

    A folder that holds more is the person's own, a project for instance: there others keep what they may read.
    """
    theirs = [path for path in home.iterdir() if not _is_own(path.name)]
    # First of all, so that nobody exchanges anything meanwhile.
    _close(home, _OTHERS_WRITE if theirs else OTHERS)
    for path in home.iterdir():
        if not _is_own(path.name) or path.name.startswith(_DATABASE):
            continue
        # One of them may be a link to another disk.
        _close(path, OTHERS)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                _close(Path(folder, name), OTHERS, follow=False)


def _is_own(name: str) -> bool:
    """Whether we make a file or folder of this name; programs add endings to theirs (`beat-schedule.db`)."""
    return name in _OWN_FOLDERS or name.startswith((*_OWN_FILES, _DATABASE))


def _close(path: Path, rights: int, *, follow: bool = True) -> None:
    """Take these rights from a file or folder; one that is gone or another user's stays as it is."""
    try:
        mode = path.stat(follow_symlinks=follow).st_mode
        if mode & rights and not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) & ~rights)
    except (FileNotFoundError, PermissionError):
        return
