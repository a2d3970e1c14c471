"""The figures of a report on a model, and of what its counters cost."""

from dataclasses import asdict

from benchmarks.cases.found import Found
from benchmarks.cases.report import Reported
from benchmarks.figures.report import Figure, Goal, Section, written
from benchmarks.order_statistics import middle


def sections(found: Found) -> list[Section]:
    """Return one section, if the case has run."""
    return [] if found.reported is None else [Section(title="a report on a day", figures=_figures(found.reported))]


def _figures(reported: Reported) -> list[Figure]:
    without, noted = middle(reported.without), middle(reported.noted)
    return [
        Figure(
            name=f"report on {reported.rows:,} predictions, longest",
            value=max(reported.seconds),
            unit="s",
            beside=f"{', '.join(written(one) for one in reported.seconds)}; {reported.shadows:,} shadow predictions,"
            f" {reported.labels:,} labels, {reported.counters:,} counters",
            goal=Goal(at_most=1.0),
            detail=asdict(reported),
        ),
        Figure(
            name="counting, upkeep and Postgres",
            value=reported.counting,
            unit="µs a row",
            beside=f"all were counted after {written(reported.counted_after)} s",
        ),
        Figure(
            name="the recorder with the trigger",
            value=noted,
            unit="µs a row",
            beside=f"{written(without)} without; turns {', '.join(written(one) for one in reported.noted)},"
            f" without {', '.join(written(one) for one in reported.without)}",
        ),
    ]
