"""What requests of every shape do to the gateway, as figures."""

from dataclasses import asdict

from benchmarks.cases.found import Found
from benchmarks.figures.report import Figure, Goal, Section, written

_TITLE = "the worst /health/live while one request of a shape is read"


def sections(found: Found) -> list[Section]:
    """Return a figure a shape."""
    figures = [
        Figure(
            name=stall.name,
            value=stall.milliseconds,
            unit="ms",
            beside=f"{written(stall.megabytes)} MB, answered {stall.status or 'by its end'};"
            f" memory {written(stall.above_idle)} MB",
            goal=Goal(at_most=100.0),
            detail=asdict(stall),
        )
        for stall in found.stalls
    ]
    return [Section(title=_TITLE, figures=figures)]
