"""The figures of rows that leave."""

from dataclasses import asdict

from benchmarks.cases import Found
from benchmarks.report import Figure, Goal, Section, written
from benchmarks.retention_case import Forgotten


def sections(found: Found) -> list[Section]:
    """Return what was found of retention."""
    return [Section(title="retention: old rows leave", figures=_figures(found.forgotten) if found.forgotten else [])]


def _figures(forgotten: Forgotten) -> list[Figure]:
    return [
        Figure(
            name=f"{forgotten.rows:,} rows gone, the run meanwhile included",
            value=forgotten.seconds,
            unit="s",
            beside=f"{written(forgotten.rows / forgotten.seconds)} rows/s",
            detail=asdict(forgotten),
        ),
        Figure(
            name="digits meanwhile, submit to last row",
            value=forgotten.meanwhile,
            unit="images/s",
            beside=f"{written(forgotten.alone)} with an empty table; {forgotten.left_after_run:,} rows were left then",
        ),
        Figure(
            name="  of that alone",
            value=forgotten.meanwhile / forgotten.alone,
            unit="x",
            goal=Goal(at_least=0.8),
        ),
    ]
