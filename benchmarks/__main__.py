"""`python -m benchmarks [--quick] [--only NAME] [--deepest] [--json FILE]`: measure, print a table, write a JSON file.

Missing a goal is no failure; a wrong result is: then the exit code is 1.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis
from rich.console import Console

from benchmarks.amounts import FULL, QUICK, Amounts
from benchmarks.cases import growth
from benchmarks.cases import report as report_case
from benchmarks.cases.found import Found
from benchmarks.cases.table import CASES
from benchmarks.figures import machine, report
from benchmarks.figures.sections import sections
from benchmarks.load.children import ChildFailed
from benchmarks.stack import preparation
from benchmarks.stack.servers import NotReady
from benchmarks.workbench import DIGITS, MOBILENET, Workbench, WrongResult

_RESULTS = Path("benchmarks/results")
_LEFT_OUT_WHEN_QUICK = ("always", "mobilenet", "flood", "growth", "models", "shadow", "report", "pipelines", "traces")
_PROBLEMS = (
    WrongResult,
    NotReady,
    ChildFailed,
    psutil.Error,  # a process that was measured is gone
    redis.RedisError,
    psycopg2.Error,
    subprocess.TimeoutExpired,
)
"""What ends a run early; what it found before is still shown."""


def main() -> int:
    """Run what was asked for and return the exit code."""
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    description = machine.describe()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped on the way out
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as scratch:
        bench = Workbench(
            folder=preparation.kept_folder(options.keep, Path(scratch)),
            scratch=Path(scratch),
            amounts=_amounts(options),
            cores=description["cores"],
            say=_teller(console),
        )
        _warn(console, description)
        found, problem = _measure(bench, options.only or _default(quick=options.quick))
    parts = sections(found)
    for part in parts:
        report.show(console, part)
    settings = {"quick": options.quick, "torch_threads": 1, **asdict(bench.amounts)}
    name = f"{datetime.now(UTC).astimezone():%Y-%m-%dT%H-%M-%S}.json"
    path = options.json or _RESULTS / name
    report.save(path, report.as_json(machine=description, settings=settings, sections=parts))
    console.print(f"{description['processor']}, {description['cores']} cores, Python {description['python']}")
    _warn(console, description)
    console.print(f"written to {path}")
    if problem:
        console.print(f"[bold red]stopped:[/] {problem}")
    return 1 if problem else 0


def _measure(bench: Workbench, names: list[str]) -> tuple[Found, str]:
    """Run the cases; return what they found, and why it stopped early, if it did."""
    found = Found()
    # The bare loop says what every image is; whatever is asked for, it goes first.
    wanted = ["bare", *(name for name in CASES if name in names and name != "bare")]
    needed = set().union(*(CASES[name][1] for name in names)) or {DIGITS, MOBILENET}
    try:
        subjects = preparation.subjects(bench, names=needed)
        for name in wanted:
            CASES[name][0](bench, subjects, found)
    except _PROBLEMS as error:
        return found, f"{type(error).__name__}: {error}"
    return found, ""


def _warn(console: Console, description: dict[str, Any]) -> None:
    """Say so where other work was running when the run began."""
    busy = description["busy_before_percent"]
    if busy > 10:
        console.print(
            f"[yellow]{busy:.0f}% of the cores were busy with other work: no figure is what it would be alone[/]"
        )


def _amounts(options: argparse.Namespace) -> Amounts:
    amounts = QUICK if options.quick else FULL
    if options.deepest:
        return replace(amounts, growth_depth=growth.DEEPEST, report_rows=report_case.DEEPEST)
    return amounts


def _default(*, quick: bool) -> list[str]:
    """Return the cases that run when none is named."""
    return [name for name in CASES if not (quick and name in _LEFT_OUT_WHEN_QUICK)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quick run while developing: small amounts, no repeats")
    parser.add_argument("--only", action="append", choices=list(CASES), help="this case (may be repeated)")
    parser.add_argument(
        "--deepest", action="store_true", help="growth: a million jobs waiting; report: ten million rows"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--keep", type=Path, help="a folder that keeps models and images for the next run")
    return parser.parse_args()


def _teller(console: Console) -> Callable[[str], None]:
    """Return what says how the run goes, with the seconds since it began."""
    started = time.monotonic()
    return lambda text: console.print(f"[{time.monotonic() - started:5.0f} s] {text}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
