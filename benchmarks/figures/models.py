"""The figures of many models on a budget of memory: a first request beside those of a model that is loaded."""

from dataclasses import asdict

from benchmarks.cases.found import Found
from benchmarks.cases.models import BUDGET
from benchmarks.figures.report import Figure, Section, written
from benchmarks.order_statistics import middle, percentile


def sections(found: Found) -> list[Section]:
    """Return one section, if the case has run."""
    many = found.models
    if many is None:
        return []
    figures = [
        Figure(
            name="first request of a model, p50",
            value=many.first_p50,
            unit="ms",
            beside=f"p99 {written(many.first_p99)}; {many.unloads} unloads",
            detail=asdict(many),
        ),
        Figure(
            name="request of a loaded model, p50",
            value=middle(many.again),
            unit="ms",
            beside=f"p99 {written(percentile(many.again, 0.99))}",
        ),
        Figure(
            name="versions held by one process",
            value=many.megabytes,
            unit="MB",
            beside=f"{many.loaded} of {many.models}, {many.workers} workers; budget {written(BUDGET / 1e6)} MB",
        ),
        Figure(name="registered until all were served", value=many.served_seconds, unit="s", beside=""),
    ]
    return [Section(title=f"{many.models} models on a budget of {written(BUDGET / 1e6)} MB a process", figures=figures)]
