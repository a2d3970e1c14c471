"""The live view: takes a snapshot each second, draws it, and restores the terminal at the end.

The page is drawn each second too where no new snapshot comes: it says how old its figures are.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, NamedTuple, Self

from rich.console import Console, RenderableType
from rich.live import Live

from cli.status.snapshots import PAUSE, Snapshot
from cli.status.terminal_events import Event, Terminal

REMEMBERED: Final = 6
"""Snapshots kept: rates are those of the last five seconds."""


class Pauses(NamedTuple):
    """After the first snapshot, and after each of the others."""

    first: timedelta
    others: timedelta


# Rates need two snapshots, so the second follows soon.
USUAL: Final = Pauses(first=timedelta(milliseconds=400), others=PAUSE)


def show_live(
    snapshot: Callable[[], Snapshot],
    draw: Callable[[Sequence[Snapshot]], RenderableType],
    console: Console,
    *,
    pauses: Pauses = USUAL,
) -> None:
    """Draw the last snapshots until q, Ctrl-C or the terminal closes; a snapshot in progress is not waited for."""
    with Terminal() as terminal, SnapshotThread(snapshot, seen=terminal.wake, pauses=pauses) as thread:
        event = Event.DRAW
        while event is not Event.LEAVE:
            with terminal.keys_unseen(), Live(console=console, screen=True, auto_refresh=False) as screen:
                while (event := terminal.next_event(redraw_after=pauses.others)) is Event.DRAW:
                    if snapshots := thread.snapshots():
                        screen.update(draw(snapshots), refresh=True)
            if event is Event.SUSPEND:
                terminal.suspend()


class SnapshotThread:
    """Takes snapshots in a thread of its own, so that a process that does not answer delays no key press."""

    def __init__(self, snapshot: Callable[[], Snapshot], *, seen: Callable[[], None], pauses: Pauses) -> None:
        """`seen` is called after each snapshot, and no more once the context has ended."""
        self._take = snapshot
        self._seen = seen
        self._pauses = pauses
        self._snapshots: tuple[Snapshot, ...] = ()
        self._error: BaseException | None = None
        self._stopping = threading.Event()
        self._seeing = threading.Lock()
        # A daemon: the interpreter ends without it, whatever it waits for.
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no further snapshot. One in progress may take seconds, as where Redis hangs: it is left to itself."""
        with self._seeing:
            self._stopping.set()

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Return the last snapshots, the newest last; raises what taking one raised."""
        if self._error is not None:
            raise self._error
        return self._snapshots

    def _run(self) -> None:
        pause = self._pauses.first
        while not self._stopping.is_set():
            try:
                self._snapshots = (*self._snapshots, self._take())[-REMEMBERED:]
            except Exception as error:  # noqa: BLE001  raised again in the drawing thread
                self._error = error
            with self._seeing:
                if self._stopping.is_set():
                    return
                self._seen()
            self._stopping.wait(pause.total_seconds())
            pause = self._pauses.others
