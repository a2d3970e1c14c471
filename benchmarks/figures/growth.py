"""The figures of growth: what a job costs by role, beside the smallest amount of the same kind."""

from dataclasses import asdict
from typing import Final

from benchmarks.cases.found import Found
from benchmarks.cases.growth import Grown
from benchmarks.figures.report import Figure, Goal, Section, written

_SHOWN: Final = 0.0005
"""Milliseconds a job below which a role is left out."""
_IDLE_SHOWN: Final = 0.2
"""Per cent of a core, likewise, of what a role uses without jobs."""


def sections(found: Found) -> list[Section]:
    """Return what a job costs at each amount of each kind."""
    smallest: dict[str, Grown] = {}
    for grown in found.grown:
        smallest.setdefault(grown.kind, grown)
    figures = [_figure(grown, smallest[grown.kind]) for grown in found.grown]
    return [Section(title="digits: CPU a job as an installation grows", figures=figures)]


def _figure(grown: Grown, smallest: Grown) -> Figure:
    roles = ", ".join(f"{role} {written(cost)}" for role, cost in grown.milliseconds.items() if cost >= _SHOWN)
    words = [f"{written(grown.total)} ms: {roles}"]
    if grown.idle_percent is not None:
        idle = ", ".join(f"{role} {written(used)}%" for role, used in grown.idle_percent.items() if used >= _IDLE_SHOWN)
        words.append(f"of a core without jobs: {idle}")
    if grown.rewrites:
        words.append(f"file rewrites: {grown.rewrites}")
    first = grown is smallest
    return Figure(
        name=f"{grown.kind}: {grown.amount:,}",
        value=grown.total if first else grown.total / smallest.total,
        unit="ms" if first else "x",
        beside="; ".join(words),
        goal=None if first else Goal(at_least=0.9, at_most=1.1),
        detail=asdict(grown),
    )
