"""The figures of promotions: latency during one beside that before it, and how long it takes."""

from dataclasses import asdict

from benchmarks.cases.found import Found
from benchmarks.cases.swap import Swap, median_swap
from benchmarks.figures.report import Figure, Goal, Section, written


def sections(found: Found) -> list[Section]:
    """Return a section a subject."""
    return [
        Section(title=f"{name}: a promotion under load", figures=_figures(swaps)) for name, swaps in found.swaps.items()
    ]


def _figures(swaps: list[Swap]) -> list[Figure]:
    swap = median_swap(swaps)
    return [
        Figure(
            name="submit to result during a promotion, p99",
            value=swap.during.p99,
            unit="ms",
            beside=f"{written(swap.before.p99)} before, {written(swap.after.p99)} after;"
            f" longest {written(swap.during.longest)}; {written(swap.rate)} images/s, {swap.workers} workers",
            detail={"runs": [asdict(one) for one in swaps]},
        ),
        Figure(
            name="  as a multiple of before",
            value=swap.times,
            unit="x",
            beside=f"runs {', '.join(written(one.times) for one in swaps)}",
            goal=Goal(at_most=2.0),
        ),
        Figure(
            name="  p50",
            value=swap.during.p50,
            unit="ms",
            beside=f"{written(swap.before.p50)} before, {written(swap.after.p50)} after",
        ),
        Figure(
            name="alias moved to the last worker that serves it, longest",
            value=max(one.seconds for one in swaps),
            unit="s",
            beside=f"the first worker after {', '.join(written(one.first_seconds) for one in swaps)}",
            goal=Goal(at_most=5.0),
        ),
    ]
