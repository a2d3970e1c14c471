"""The figures of traces: processor time a job with them, and without."""

from dataclasses import asdict

from benchmarks.cases.found import Found
from benchmarks.cases.traces import Traced
from benchmarks.figures.report import Figure, Section, written


def sections(found: Found) -> list[Section]:
    """Return one section where traces were measured."""
    return [Section(title="digits: traces by OpenTelemetry", figures=_figures(found.traced))] if found.traced else []


def _figures(traced: Traced) -> list[Figure]:
    off = next(iter(traced.sides.values()))
    figures = []
    for name, side in traced.sides.items():
        by_role = ", ".join(
            f"{role} {written(spent)} ({spent - off.milliseconds[role]:+.3f})"
            for role, spent in side.milliseconds.items()
            if spent > 0.001
        )
        figures.append(
            Figure(
                name=f"CPU a job, traces: {name}",
                value=side.total_milliseconds,
                unit="ms",
                beside=f"{side.total_milliseconds - off.total_milliseconds:+.3f}; {by_role}",
                detail=asdict(side) | {"bytes_each": traced.bytes_each[name]},
            )
        )
    return figures
