"""The progress of work on many images: a bar in a terminal, else a line every few seconds."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from cli.terminal.lines import say

BETWEEN_LINES: Final = timedelta(seconds=5)


class Meter:
    """Shows how many images are done. Those done `before` do not count as speed; `clock` returns seconds."""

    def __init__(self, console: Console, *, before: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before = before
        self._began = self._said = clock()
        columns = (TextColumn("{task.description}"), BarColumn(), _Counts(), _Speed(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", completed=before, total=None)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing; the last state stays on the screen."""
        self._bar.stop()

    def show(self, *, done: int, total: int | None, step: str) -> None:
        """Show how many images are done, and of how many where that is known; `step` says what is being done."""
        self._bar.update(self._task, completed=done, total=total or None, description=step)
        now = self._clock()
        if self._bar.disable and now - self._said >= BETWEEN_LINES.total_seconds():
            self._said = now
            say(f"{step}: {_counts(done, total)} done, {(done - self._before) / (now - self._began):,.0f} images/s")


def _counts(done: float, total: float | None) -> str:
    return f"{done:,.0f}" if total is None else f"{done:,.0f} of {total:,.0f}"


class _Counts(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Return the counts."""
        return Text(_counts(task.completed, task.total), style="progress.download")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Return recent images per second."""
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} images/s", style="progress.data.speed")
