"""The figures of rows that leave."""

from dataclasses import asdict

from benchmarks.cases.found import Found
from benchmarks.cases.retention import Forgotten
from benchmarks.figures.report import Figure, Goal, Section, written
from benchmarks.order_statistics import percentile


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
            detail=_in_short(forgotten),
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
        Figure(
            name="a row's commit meanwhile, p99",
            value=percentile(forgotten.commits_meanwhile, 0.99),
            unit="ms",
            beside=f"{written(percentile(forgotten.commits_alone, 0.99))} beside the run alone",
        ),
        Figure(
            name="  the longest",
            value=max(forgotten.commits_meanwhile),
            unit="ms",
            beside=f"{written(max(forgotten.commits_alone))} beside the run alone",
        ),
    ]


def _in_short(forgotten: Forgotten) -> dict[str, object]:
    """Return all that was found, of the commits how many there were."""
    commits = {"commits_alone": len(forgotten.commits_alone), "commits_meanwhile": len(forgotten.commits_meanwhile)}
    return asdict(forgotten) | commits
