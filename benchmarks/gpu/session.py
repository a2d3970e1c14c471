"""One run of the benchmark: its time limit, what it has found, what failed; every figure is shown and saved at once."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from rich.console import Console

from benchmarks.figures import report
from benchmarks.figures.report import Figure, Section, written

Result = TypeVar("Result")
_LEAST_SECONDS = 3.0
"""A part is not begun with less."""


class OutOfTime(Exception):
    """A part took longer than it may."""


class Session:
    """What is measured goes through here, a part after the other."""

    def __init__(
        self, console: Console, *, seconds: float, file: Path, machine: dict[str, Any], settings: dict[str, Any]
    ) -> None:
        self._console = console
        self._began = time.monotonic()
        self._seconds = seconds
        self._file = file
        self._facts = (machine, settings)
        self._sections: dict[str, list[Figure]] = {}
        self._took: dict[str, float] = {}
        self.failures: dict[str, str] = {}

    def attempt(self, part: str, work: Callable[[], Result], *, limit: float) -> Result | None:
        """Do a part within its limit and what is left of the run; None where it failed, which is shown and kept.

        Call it in the main thread: the limit is a signal.
        """
        limit = min(limit, self.left())
        if limit < _LEAST_SECONDS:
            self.fail(part, "left out: the run's time is over")
            return None
        self.say(f"{part} …")
        began = time.monotonic()
        try:
            with _alarm(limit):
                return work()
        except OutOfTime:
            self.fail(part, f"stopped: not done within {limit:.0f} s")
        except Exception as error:  # noqa: BLE001  whatever one part raises, the next may go
            self.fail(part, f"{type(error).__name__}: {error}"[:1500])
        finally:
            self._took[part] = round(time.monotonic() - began, 1)
            self.save()
        return None

    def left(self) -> float:
        """Return the seconds left to the whole run."""
        return self._seconds - (time.monotonic() - self._began)

    def add(self, section: str, figures: Sequence[Figure]) -> None:
        """Show figures and keep them."""
        self._sections.setdefault(section, []).extend(figures)
        for figure in figures:
            mark = {None: "", True: "  (goal reached)", False: f"  (goal: {figure.goal})"}[figure.reached]
            self.say(f"  {figure.name}: {written(figure.value)} {figure.unit}{mark}  [{figure.beside}]")
        self.save()

    def fail(self, part: str, why: str) -> None:
        """Show why a part has no figures, and keep it."""
        self.failures[part] = why
        self.say(f"  FAILED {part}: {why}")

    def say(self, text: str) -> None:
        """Print a line with the seconds since the run began."""
        self._console.print(f"[{time.monotonic() - self._began:5.1f} s] {text}", markup=False, soft_wrap=True)

    def figure(self, section: str, start: str) -> Figure | None:
        """Return the first figure of a section whose name begins so."""
        return next((figure for figure in self._sections.get(section, ()) if figure.name.startswith(start)), None)

    def show(self) -> None:
        """Print every section as a table, and what failed."""
        for section in self._report():
            report.show(self._console, section)
        for part, why in self.failures.items():
            self._console.print(f"no figure of {part}: {why}", markup=False, soft_wrap=True)

    def save(self) -> None:
        """Write what there is by now."""
        machine, settings = self._facts
        settings = settings | {"seconds_by_part": self._took, "failures": self.failures}
        report.save(self._file, report.as_json(machine=machine, settings=settings, sections=self._report()))

    def _report(self) -> list[Section]:
        return [Section(title=title, figures=figures) for title, figures in self._sections.items()]


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in this thread after so long."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTime

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
