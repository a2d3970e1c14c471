"""The figures of a shadow: latency of requests beside one, and without."""

from dataclasses import asdict

from benchmarks.cases.found import Found
from benchmarks.cases.shadow import Shadowed
from benchmarks.figures.report import Figure, Goal, Section, written


def sections(found: Found) -> list[Section]:
    """Return a section a subject."""
    return [
        Section(title=f"{name}: beside a shadow of every image", figures=_figures(shadowed))
        for name, shadowed in found.shadows.items()
    ]


def _figures(shadowed: Shadowed) -> list[Figure]:
    without, beside = shadowed.without, shadowed.beside
    turns = [", ".join(written(p99) for p99 in side.turns) for side in (without, beside)]
    return [
        Figure(
            name="submit to result with shadow, p99",
            value=beside.p99,
            unit="ms",
            beside=f"{written(without.p99)} without; by turn {turns[1]}, without {turns[0]};"
            f" {written(shadowed.rate)} images/s",
            detail=asdict(shadowed),
        ),
        Figure(
            name="  p99 with shadow as a multiple",
            value=shadowed.times,
            unit="x",
            beside=f"{without.requests} requests without, {beside.requests} with",
            goal=Goal(at_most=1.1),
        ),
        Figure(
            name="  p50",
            value=beside.p50,
            unit="ms",
            beside=f"{written(without.p50)} without",
        ),
        Figure(
            name="images shadowed",
            value=beside.shadowed,
            unit="",
            beside=f"of {beside.requests}; {beside.skipped} counted as skipped",
        ),
    ]
