"""What all cases of a run share: a folder, how much to do, the subjects, and words on how it goes."""

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks.load.children import Child
from benchmarks.load.plan import Outcome, Plan

DIGITS = "digits"
MOBILENET = "mobilenet"


class WrongResult(Exception):
    """What was measured is not what was asked for: rows missing, or other classes than the bare loop's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much each case does: enough for steady figures, or for a look while developing."""

    repeats: int
    digits: int
    """Different digit images; one throughput run sends all of them, the bare loop five times over."""
    waiting: int
    """Requests of a run with `Prefer: wait` at concurrency 64."""
    single: int
    """Requests of the latency run, one at a time."""
    tutorial: int
    photographs: int
    """Different photographs; runs send them many times over, stamped."""
    photograph_requests: int
    tutorial_photographs: int
    depth: int
    depth_jobs: int
    """Jobs submitted and drained at each depth."""
    large_upload: int
    """Images of one upload while memory is watched; and those that wait while others are in a hurry."""
    kept_waiting: int
    """So many of them at least wait all that time."""
    hurried: int
    """Requests one at a time meanwhile."""
    small_batches: int
    """Uploads of few images, one after the other, meanwhile."""
    deliveries: int
    """Predictions that a fast receiver is told of."""
    deliveries_beside: int
    """Those one after the other, while a thousand other receivers hang."""
    flood_seconds: int
    old_rows: int
    """Rows that retention deletes."""


FULL = Amounts(
    repeats=3,
    digits=20_000,
    waiting=10_000,
    single=2_000,
    tutorial=3_000,
    photographs=128,
    photograph_requests=4_000,
    tutorial_photographs=600,
    depth=100_000,
    depth_jobs=5_000,
    large_upload=100_000,
    kept_waiting=20_000,
    hurried=500,
    small_batches=5,
    deliveries=10_000,
    deliveries_beside=500,
    flood_seconds=60,
    old_rows=1_000_000,
)
QUICK = Amounts(
    repeats=1,
    digits=4_000,
    waiting=2_000,
    single=300,
    tutorial=600,
    photographs=24,
    photograph_requests=400,
    tutorial_photographs=150,
    depth=10_000,
    depth_jobs=2_000,
    large_upload=10_000,
    kept_waiting=1_000,
    hurried=50,
    small_batches=2,
    deliveries=500,
    deliveries_beside=50,
    flood_seconds=8,
    old_rows=50_000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One kind of work: a model, and images for it. `folder` holds the exported model as MLflow keeps it."""

    name: str
    model: Path
    images: Path
    distinct: int


@dataclass(kw_only=True)
class Workbench:
    """One run. `folder` holds models and images, perhaps for later runs too; `scratch` all the rest."""

    folder: Path
    scratch: Path
    amounts: Amounts
    cores: int
    say: Callable[[str], None]
    stamps: Iterable[int] = field(default_factory=lambda: count(1))
    classes: dict[str, list[str]] = field(default_factory=dict)
    """By subject: what the bare loop made of each different image."""

    def stamp(self) -> int:
        """Return a number no plan has had: its images will be in no cache."""
        return next(iter(self.stamps))

    def new_file(self, name: str) -> Path:
        """Return where a measuring process may write."""
        return self.scratch / f"{name}-{self.stamp()}.json"


def generate(bench: Workbench, plan: Plan) -> Outcome:
    """Run the generator over a plan and return what it saw."""
    with started(bench, plan) as generator:
        return finished(generator.wait_until_ready(), plan)


def started(bench: Workbench, plan: Plan) -> Child:
    """Start a generator; it renders its requests and waits."""
    return Child("benchmarks.load.generator", task=plan.as_json(), output=bench.new_file("load"))


def finished(generator: Child, plan: Plan) -> Outcome:
    """Let a prepared generator work and return what it saw."""
    generator.begin()
    return Outcome.from_file(generator.result(limit=plan.limit + 30))


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    # 0.07 * 100 is 7.000000000000001 to a computer, and would be rounded up.
    return ordered[max(0, math.ceil(round(share * len(ordered), 6)) - 1)]


def middle(values: Iterable[float]) -> float:
    """Return the median of repeated runs."""
    return statistics.median(values)
