"""Keeps a home private to its owner: closes it and the files in it to other users, old ones too."""

import os
import stat
from pathlib import Path
from typing import Final

UMASK: Final = 0o077
"""For everything that `up` starts: new files are readable by their owner alone."""
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OWN_FOLDERS: Final = ("bulk", "held-out", "logs", "mlflow", "ports", "redis", "scratch")
_OWN_FILES: Final = ("beat-schedule", "mlflow.env", "state.json", "supervisor.lock")
_DATABASE: Final = "postgres"
"""Postgres closes its folder itself; started by root it runs as a user of its own, who owns the folder."""


class NotPrivate(Exception):
    """A folder can't be a home: other users could put their own files where Darkroom reads its own."""


def make_home(home: Path) -> None:
    """Create the home, or close an existing one to other users; raises NotPrivate.

    Safe to repeat and to interrupt anywhere: each step only removes permissions.
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
    """Remove other users' permissions from Darkroom's files, and from the folder where it holds nothing else.

    A folder that holds more, a project for instance, stays readable as it was; only writing is closed.
    """
    theirs = [path for path in home.iterdir() if not _is_own(path.name)]
    # The folder first, so that nobody replaces files in it meanwhile.
    _close(home, _OTHERS_WRITE if theirs else OTHERS)
    for path in home.iterdir():
        if not _is_own(path.name) or path.name.startswith(_DATABASE):
            continue
        # Follow a link at the top: a folder of a home may be a link to another disk.
        _close(path, OTHERS)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                _close(Path(folder, name), OTHERS, follow=False)


def _is_own(name: str) -> bool:
    """Whether Darkroom creates a file or folder of this name; programs add suffixes to theirs (`beat-schedule.db`)."""
    return name in _OWN_FOLDERS or name.startswith((*_OWN_FILES, _DATABASE))


def _close(path: Path, rights: int, *, follow: bool = True) -> None:
    """Remove these permissions from a file or folder; skip one that is gone or belongs to another user."""
    try:
        mode = path.stat(follow_symlinks=follow).st_mode
        if mode & rights and not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) & ~rights)
    except (FileNotFoundError, PermissionError):
        return
