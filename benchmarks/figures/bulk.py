"""The figures of bulk uploads: speed beside one request an image, memory, and what others notice."""

from dataclasses import asdict

from benchmarks.cases.bulk import Bulk
from benchmarks.cases.bulk_beside import SMALL, Beside
from benchmarks.cases.bulk_memory import Memory
from benchmarks.cases.found import Found
from benchmarks.figures.report import Figure, Goal, Section, written
from benchmarks.figures.throughput import beside_loops, cost_figure
from benchmarks.workbench import DIGITS

_BODIES = {"zip": "one zip", "form": "one form of so many files", "lines": "NDJSON"}


def sections(found: Found) -> list[Section]:
    """Return what was found of bulk uploads."""
    return [
        Section(title="digits in bulk: one upload of many", figures=_speed(found, found.bulk) if found.bulk else []),
        Section(title="digits in bulk: memory", figures=[_memory(memory) for memory in found.memories]),
        Section(title="digits in bulk: beside others", figures=_beside(found.beside) if found.beside else []),
    ]


def _speed(found: Found, bulk: Bulk) -> list[Figure]:
    return [
        Figure(
            name="one request an image, submit to last row",
            value=bulk.singles.images_per_second,
            unit="images/s",
            beside=beside_loops(found, DIGITS, bulk.singles),
            detail={"runs": bulk.singles.runs},
        ),
        cost_figure(found, bulk.singles, DIGITS, goal=None),
        Figure(
            name=f"one zip of {bulk.images:,}, first byte to last row",
            value=bulk.archive.images_per_second,
            unit="images/s",
            beside=f"{beside_loops(found, DIGITS, bulk.archive)}; accepted at {written(bulk.accepted_per_second)}/s",
            detail={"runs": bulk.archive.runs},
        ),
        Figure(
            name="  times one request an image",
            value=bulk.archive.images_per_second / bulk.singles.images_per_second,
            unit="x",
            beside=f"its {written(bulk.singles.images_per_second)} images/s",
            goal=Goal(at_least=1.3),
        ),
        cost_figure(found, bulk.archive, DIGITS, goal=Goal(at_most=0.42)),
    ]


def _memory(memory: Memory) -> Figure:
    return Figure(
        name=f"api above idle, {memory.images:,} images as {_BODIES[memory.kind]}",
        value=memory.above_idle,
        unit="MB",
        beside=f"idle {written(memory.idle)} MB; accepted in {written(memory.seconds)} s",
        goal=Goal(at_most=100.0),
        detail=asdict(memory),
    )


def _beside(beside: Beside) -> list[Figure]:
    large = f"{beside.large:,} images that wait"
    return [
        Figure(
            name="submit to result, p99, alone",
            value=beside.p99_alone,
            unit="ms",
            beside=f"p50 {written(beside.p50_alone)} ms, one at a time",
            detail=asdict(beside),
        ),
        Figure(
            name=f"submit to result, p99, beside {large}",
            value=beside.p99_beside,
            unit="ms",
            beside=f"p50 {written(beside.p50_beside)} ms; {beside.least_waiting:,} waited still at the end",
        ),
        Figure(
            name="  times alone",
            value=beside.p99_beside / beside.p99_alone,
            unit="x",
            beside=f"while as many are uploaded: {written(beside.p99_uploading / beside.p99_alone)},"
            f" p99 {written(beside.p99_uploading)} ms",
            goal=Goal(at_most=3.0),
        ),
        Figure(
            name=f"a batch of {SMALL}, first byte to last row, beside {large}",
            value=beside.small_beside,
            unit="ms",
            beside=f"{written(beside.small_alone)} ms alone",
        ),
        Figure(
            name="  times alone",
            value=beside.small_beside / beside.small_alone,
            unit="x",
            beside="two lanes that take turns: 2",
            goal=Goal(at_most=3.0),
        ),
    ]
