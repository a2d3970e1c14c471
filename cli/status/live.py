"""The live view: snapshots once a second, draws what it saw, and leaves the terminal as it was."""

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
"""Looks: rates are those of the last five seconds."""


class Pauses(NamedTuple):
    """After the first snapshot, and after each of the others."""

    first: timedelta
    others: timedelta


# There are no rates before the second snapshot, and somebody waits for them.
USUAL: Final = Pauses(first=timedelta(milliseconds=400), others=PAUSE)


def show_live(
    snapshot: Callable[[], Snapshot],
    draw: Callable[[Sequence[Snapshot]], RenderableType],
    console: Console,
    *,
    pauses: Pauses = USUAL,
) -> None:
    """Draw what the last snapshots saw until q, Ctrl-C or the terminal's end."""
    with Terminal() as terminal, SnapshotThread(snapshot, seen=terminal.wake, pauses=pauses) as looking:
        event = Event.DRAW
        while event is not Event.LEAVE:
            with terminal.keys_unseen(), Live(console=console, screen=True, auto_refresh=False) as screen:
                while (event := terminal.next_event()) is Event.DRAW:
                    if snapshots := looking.snapshots():
                        screen.update(draw(snapshots), refresh=True)
            if event is Event.SUSPEND:
                terminal.suspend()


class SnapshotThread:
    """Looks again and again in a thread of its own, where a process that does not answer holds up no key."""

    def __init__(self, snapshot: Callable[[], Snapshot], *, seen: Callable[[], None], pauses: Pauses) -> None:
        """`seen` is called after each snapshot."""
        self._look = snapshot
        self._seen = seen
        self._pauses = pauses
        self._looks: tuple[Snapshot, ...] = ()
        self._error: BaseException | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="looking")

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; a snapshot under way is waited for."""
        self._stopping.set()
        self._thread.join()

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Return the last snapshots, the newest last; raises what a snapshot raised."""
        if self._error is not None:
            raise self._error
        return self._looks

    def _run(self) -> None:
        pause = self._pauses.first
        while not self._stopping.is_set():
            try:
                self._looks = (*self._looks, self._look())[-REMEMBERED:]
            except Exception as error:  # noqa: BLE001  it is raised where somebody sees it
                self._error = error
            self._seen()
            self._stopping.wait(pause.total_seconds())
            pause = self._pauses.others
