"""Keys and signals of the terminal while a page is drawn, as one stream of events; restores the terminal afterwards."""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum
from types import FrameType, TracebackType
from typing import Final, Self


class Event(Enum):
    """What the live view does next."""

    DRAW = "draw"
    """There is a new snapshot, the terminal was resized, or the page has not been drawn for a while."""
    SUSPEND = "suspend"
    LEAVE = "leave"


_SIGNALS: Final[dict[int, Event]] = {
    signal.SIGWINCH: Event.DRAW,
    signal.SIGTSTP: Event.SUSPEND,
    signal.SIGINT: Event.LEAVE,
    signal.SIGTERM: Event.LEAVE,
    signal.SIGHUP: Event.LEAVE,
}
_WAKE: Final = b"\0"


class Terminal:
    """Standard input read key by key, and the signals that a terminal sends."""

    def __enter__(self) -> Self:
        """Handle signals as events."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = {number: signal.signal(number, _go_on) for number in _SIGNALS}
        # A handler in Python would run too late for a signal that comes just before `select` begins to wait.
        self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the signal handlers."""
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def wake(self) -> None:
        """Send a DRAW event; from any thread."""
        try:
            os.write(self._write, _WAKE)
        except BlockingIOError:
            return  # the pipe is full of events that are not read yet

    def next_event(self, *, redraw_after: timedelta) -> Event:
        """Wait for the next event; of several return the most important: LEAVE, SUSPEND, DRAW.

        `redraw_after`: without an event for so long, return DRAW.
        """
        while True:
            ready, _, _ = select.select([sys.stdin, self._read], [], [], redraw_after.total_seconds())
            if not ready:
                return Event.DRAW
            if sys.stdin in ready:
                keys = os.read(sys.stdin.fileno(), 1024)
                # End of input: the terminal is gone.
                if not keys or b"q" in keys.lower():
                    return Event.LEAVE
            if self._read in ready:
                # A byte each: the number of a signal, or _WAKE.
                told = {_SIGNALS.get(number, Event.DRAW) for number in os.read(self._read, 1024)}
                return next(event for event in (Event.LEAVE, Event.SUSPEND, Event.DRAW) if event in told)

    def suspend(self) -> None:
        """Stop like a job of the shell; return when it is continued."""
        os.kill(os.getpid(), signal.SIGSTOP)
        self.wake()

    @contextmanager
    def keys_unseen(self) -> Iterator[None]:
        """Read keys without Enter and without echo while the block runs; restore the terminal's modes afterwards."""
        before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _go_on(number: int, frame: FrameType | None) -> None:
    """Handle a signal: its number is in the pipe by now, and it has no other effect."""
