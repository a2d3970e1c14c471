"""A program in a pseudo-terminal: press keys, resize, read what it draws."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class Seat:
    """A program in a terminal of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", *, master: int, slave: int) -> None:
        self.process = process
        self.raw = b""
        self._master, self._slave = master, slave
        self.modes_before = self.modes()

    def modes(self) -> list[Any]:
        """How the terminal takes keys."""
        return termios.tcgetattr(self._slave)

    def resize(self, *, columns: int, rows: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does."""
        os.close(self._slave)
        os.close(self._master)
        self._slave = self._master = -1

    def read_until(self, words: str, *, limit: float = 60) -> str:
        """Return what was drawn since the last call, once `words` are in it; without control sequences."""
        until, begun = time.monotonic() + limit, len(self.raw)
        while words not in (drawn := _CONTROL.sub(b"", self.raw[begun:]).decode(errors="replace")):
            assert time.monotonic() < until, drawn
            if select.select([self._master], [], [], 0.1)[0]:
                self.raw += os.read(self._master, 65_536)
        return drawn

    def read_rest(self) -> bytes:
        """Return everything that was ever drawn, control sequences included."""
        while select.select([self._master], [], [], 0)[0]:
            self.raw += os.read(self._master, 65_536)
        return self.raw

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for end in (self._master, self._slave):
            if end >= 0:
                os.close(end)


@contextmanager
def seated(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Iterator[Seat]:
    """Start a program in a terminal of 100 columns and 40 rows."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    # Some programs, pytest among them, set variables that would override this terminal's size.
    others = {name: value for name, value in (environment or os.environ).items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env={**others, "TERM": "xterm-256color"}
    )
    seat = Seat(process, master=master, slave=slave)
    try:
        yield seat
    finally:
        seat.close()
