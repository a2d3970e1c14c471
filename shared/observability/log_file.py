"""Bounds the file that is a process' standard output: a full one is renamed to `<name>.1`, in place of the one before.

Of the one before the lines that are Darkroom's own stay in `<name>.own`, the newest that have room in a file: a model
that prints much would push them out. The file of a program that can't be led to another one is copied and emptied.

What a model prints counts too, also from C: the file descriptors themselves are led to the new file, as of servers that
logrotate tells to open their logs again. No line is lost, since each is written to one of the two. Processes may share
a file: a lock on the full one lets one of them rename it. One that is killed in between leaves no file under the name,
which the next one makes.
"""

import fcntl
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
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
_LONGEST: Final = 1024 * 1024
"""Bytes of the longest line that is compared as a whole."""
_OWN: Final = re.compile(rb'\{"time":"\d{4}-|\d\d:\d\d:\d\d (?:DEBUG|INFO|WARNING|ERROR|CRITICAL) ')
"""How a line begins that Darkroom logged, as JSON or as text. What a model printed last may stand before it."""


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
                    rename(self._path, largest=self._largest)
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


def own_lines(path: Path) -> Path:
    """Return the file that has Darkroom's own lines of files that were replaced since."""
    return path.with_name(f"{path.name}.own")


def rename(path: Path, *, largest: int = LARGEST) -> None:
    """Rename a full file in place of the one before, whose own lines are kept. Safe to repeat; raises OSError."""
    with suppress(FileNotFoundError):
        _keep_own_lines(older(path), own_lines(path), largest=largest)
    path.replace(older(path))


def cut(path: Path, *, largest: int = LARGEST) -> None:
    """Copy a full file in place of the one before, and empty it: for a program that writes to its end, and goes on.

    What it writes between the two, within microseconds, is lost. Safe to repeat; raises OSError.
    """
    if not path.exists() or path.stat().st_size < largest:
        return
    copied = _new(older(path))
    with path.open("rb") as file, open(copied, "wb", opener=_private) as copy:
        shutil.copyfileobj(file, copy)
        copied.replace(older(path))
        # As late as possible: what came while it was copied is in the copy too.
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.truncate(path, 0)


def _keep_own_lines(dropped: Path, kept: Path, *, largest: int) -> None:
    """Add the own lines of a file that is dropped to those that are kept, and drop the oldest of these over `largest`.

    Killed before the file is dropped, it adds nothing when it is repeated: both end with the same line.
    """
    size, last = 0, b""
    for last in _own(dropped):
        size += len(last)
    if not size or _last_line(kept) == last:
        return
    with open(_new(kept), "wb", opener=_private) as new:
        with suppress(FileNotFoundError), kept.open("rb") as before:
            if before.seek(0, os.SEEK_END) > (room := max(0, largest - size)):
                before.seek(-room, os.SEEK_END)
                before.readline()  # whose beginning has no room
            else:
                before.seek(0)
            shutil.copyfileobj(before, new)
        for line in _own(dropped):
            if size <= largest:
                new.write(line)
            else:
                size -= len(line)
    _new(kept).replace(kept)


def _own(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if found := _OWN.search(line):
                yield line[found.start() :]


def _last_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST))
            return (file.readlines() or [b""])[-1]
    except FileNotFoundError:
        return b""


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, _PRIVATE)


@cache
def keep_bounded(path: str) -> None:
    """Bound the file that is this process' standard output or error, until it ends; other files are left alone.

    An empty path is none.
    """
    if not path:
        return
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
