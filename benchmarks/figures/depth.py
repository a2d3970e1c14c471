"""The figures of depth: what a job costs with few and with many waiting."""

from dataclasses import asdict

from benchmarks.cases.found import Found
from benchmarks.figures.report import Figure, Goal, Section, written


def sections(found: Found) -> list[Section]:
    """Return what was found with few and with many jobs waiting."""
    return [Section(title="digits: few and many jobs waiting", figures=_figures(found))]


def _figures(found: Found) -> list[Figure]:
    if len(found.depths) != 2:
        return []
    few, many = found.depths
    figures = [
        Figure(
            name=f"CPU a job, {cost.depth:,} waiting",
            value=cost.total,
            unit="ms",
            beside=f"submit {written(cost.submit)}, compute and record {written(cost.drain)};"
            f" Redis holds {written(cost.memory_mebibytes)} MiB",
            detail=asdict(cost),
        )
        for cost in found.depths
    ]
    grown = many.memory_mebibytes - few.memory_mebibytes
    figures += [
        Figure(
            name="  many to few",
            value=many.total / few.total,
            unit="x",
            beside=f"submit {written(many.submit / few.submit)}x, the rest {written(many.drain / few.drain)}x;"
            f" file rewrites meanwhile: {few.rewrites + many.rewrites}",
            goal=Goal(at_least=0.9, at_most=1.1),
        ),
        Figure(
            name="  Redis' memory a waiting job",
            value=grown * 1024 / (many.depth - few.depth),
            unit="KiB",
            beside="image, entry, wait list and job together",
        ),
        Figure(
            name="  api, predict and record resident, many to few",
            value=sum(many.resident_mebibytes.values()) / sum(few.resident_mebibytes.values()),
            unit="x",
            beside=", ".join(f"{role} {written(size)} MiB" for role, size in many.resident_mebibytes.items()),
        ),
    ]
    return figures
