"""Single predictions: plan a load of them, run it until every image has its row, check every row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.load.plan import Outcome, Plan
from benchmarks.measuring.generator import finished, generate, started
from benchmarks.order_statistics import middle
from benchmarks.stack import processors
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Subject, Workbench, WrongResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Images a second from the first byte to the last row, and processor milliseconds an image, as in Throughput."""

    images_per_second: float
    milliseconds: dict[str, float]
    generator_milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Medians over the repeats: images a second from the first request to the last row, and what a job costs.

    `milliseconds` is processor time a job by role; the load generator's is beside it, not among it.
    """

    images_per_second: float
    milliseconds: dict[str, float]
    generator_milliseconds: float
    runs: list[float]

    @property
    def total_milliseconds(self) -> float:
        """Processor time a job over all of Darkroom's processes."""
        return sum(self.milliseconds.values())


def plan_predictions(
    bench: Workbench,
    stack: Stack,
    subject: Subject,
    *,
    images: int,
    connections: int = 64,
    wait: bool = False,
    query: str = "",
) -> Plan:
    """Return a plan of raw bodies that no cache answers; `query` is that of each request."""
    return Plan(
        port=stack.port,
        path=f"/v1/predictions?{query}" if query else "/v1/predictions",
        images=str(subject.images),
        count=images,
        stamp=bench.stamp(),
        accepted=200 if wait else 202,
        connections=min(connections, images),
        prefer="wait=60" if wait else "",
    )


def warm_up_predictions(bench: Workbench, stack: Stack, subject: Subject) -> None:
    """Send a few requests of each kind before anything is measured."""
    images = max(200, bench.amounts.single // 4) if subject.distinct > 1000 else 100
    generate(bench, plan_predictions(bench, stack, subject, images=images))
    generate(bench, plan_predictions(bench, stack, subject, images=images, wait=True))
    stack.wait_until_idle(limit=60)


def median_run(runs: Sequence[Run]) -> Throughput:
    """Return the medians of repeated runs."""
    costs = [run.milliseconds for run in runs]
    return Throughput(
        images_per_second=middle(run.images_per_second for run in runs),
        milliseconds={role: middle(cost[role] for cost in costs) for role in costs[0]},
        generator_milliseconds=middle(run.generator_milliseconds for run in runs),
        runs=[run.images_per_second for run in runs],
    )


def measure_run(bench: Workbench, stack: Stack, subject: Subject, *, images: int, query: str = "") -> Run:
    """Submit `images` once, one request each, wait until each has its row, check each row."""
    load = plan_predictions(bench, stack, subject, images=images, query=query)
    with started(bench, load) as generator:
        generator.wait_until_ready()
        before = stack.spent()
        outcome = finished(generator, load)
        ended = stack.wait_until_idle(limit=load.limit)
        after = stack.spent()
    check_predictions(bench, stack, subject, outcome)
    return Run(
        images_per_second=images / (ended - outcome.started),
        milliseconds=processors.milliseconds_each(before, after, jobs=images),
        generator_milliseconds=outcome.processor_seconds * 1000 / images,
    )


def check_predictions(bench: Workbench, stack: Stack, subject: Subject, outcome: Outcome) -> None:
    """Raise WrongResult unless each image has a row of its own that succeeded, with the bare loop's class.

    Sums in another order can tip an image whose two best classes are equal to six digits: one in a thousand may differ.
    """
    check_rows(bench, stack, subject, outcome.ids)
    compare_classes(bench, subject, outcome.classes)


def check_rows(
    bench: Workbench, stack: Stack, subject: Subject, ids: Sequence[str], *, numbers: Sequence[int] | None = None
) -> None:
    """Do so for the rows of these predictions; `numbers` of their images as in `compare_classes`."""
    rows = stack.rows(ids)
    if len(rows) != len(ids):
        raise WrongResult(f"{len(ids)} predictions were accepted, {len(rows)} have a row")
    failed = [id for id, (status, _) in rows.items() if status != "succeeded"]
    if failed:
        raise WrongResult(f"{len(failed)} predictions did not succeed, {failed[0]} among them")
    compare_classes(bench, subject, [rows[id][1] for id in ids], numbers=numbers)


def compare_classes(
    bench: Workbench, subject: Subject, found: list[Any], *, numbers: Sequence[int] | None = None
) -> None:
    """Raise WrongResult unless the classes are the bare loop's of the images with these numbers; None: 0, 1, 2, …."""
    expected, numbers = bench.classes[subject.name], range(len(found)) if numbers is None else numbers
    wrong = sum(one != expected[number % len(expected)] for number, one in zip(numbers, found, strict=True))
    if wrong > len(found) // 1000:
        raise WrongResult(f"{wrong} of {len(found)} classes are not the bare loop's")
