"""Which process is meant: a pid alone may be somebody else's by now."""

import os
import signal
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

import psutil

_PROC = Path("/proc/self/stat")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid with the moment its process began: clock ticks since boot on Linux, else microseconds since 1970."""

    pid: int
    began: int

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return who has this pid now; None where nobody has, or only a zombie."""
        found = _ticks(pid) if _PROC.exists() else _microseconds(pid)
        return None if found is None else cls(pid, found)

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessIdentity.of(self.pid) == self

    def send(self, number: int) -> None:
        """Send a signal, unless the process is gone. Safe to repeat."""
        if self.is_alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def end(self, *, patience: timedelta) -> None:
        """Ask it to stop, then make it; returns when it is gone. Safe to repeat."""
        self.send(signal.SIGTERM)
        if not self.wait(patience):
            self.send(signal.SIGKILL)
            self.wait(timedelta(seconds=5))

    def wait(self, patience: timedelta) -> bool:
        """Tell whether it is gone, at the latest after `patience`."""
        until = time.monotonic() + patience.total_seconds()
        while self.is_alive:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True


def _ticks(pid: int) -> int | None:
    """Field 22 of proc(5)'s stat: unlike a time of day, it stays when the clock is set."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in "ZX" else int(after_name[19])


def _microseconds(pid: int) -> int | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return int(process.create_time() * 1e6)
    except psutil.NoSuchProcess:
        return None
