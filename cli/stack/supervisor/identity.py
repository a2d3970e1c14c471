"""Identifies a process by pid and start time, since the pid alone may be reused by another process."""

import os
import signal
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

import psutil

from shared.process_birth import birth_ticks

_PROC = Path("/proc/self/stat")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid with its process' start time: clock ticks since boot on Linux, else microseconds since 1970."""

    pid: int
    began: int

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the process that has this pid now; None where there is none, or only a zombie."""
        found = birth_ticks(pid) if _PROC.exists() else _microseconds(pid)
        return None if found is None else cls(pid, found)

    @classmethod
    def of_child(cls, pid: int) -> Self:
        """Return a child, which keeps its pid until it is waited for; `began` is 0 where its start can't be read."""
        try:
            return cls.of(pid) or cls(pid, 0)
        except OSError:  # no file can be opened
            return cls(pid, 0)

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
        """Send SIGTERM, and SIGKILL after `patience`; return when the process is gone. Safe to repeat."""
        self.send(signal.SIGTERM)
        if not self.wait(patience):
            self.send(signal.SIGKILL)
            self.wait(timedelta(seconds=5))

    def wait(self, patience: timedelta) -> bool:
        """Wait at most `patience` for its end; True where it is gone."""
        until = time.monotonic() + patience.total_seconds()
        while self.is_alive:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True


def _microseconds(pid: int) -> int | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return int(process.create_time() * 1e6)
    except psutil.NoSuchProcess:
        return None
