"""The figures of a flood."""

from dataclasses import asdict

from benchmarks.cases.flood import TIMES, Flooded
from benchmarks.cases.found import Found
from benchmarks.figures.report import Figure, Goal, Section, written


def sections(found: Found) -> list[Section]:
    """Return what was found of a flood."""
    title = f"mobilenet: {TIMES} times what can be sustained"
    return [Section(title=title, figures=_figures(found.flooded) if found.flooded else [])]


def _figures(flooded: Flooded) -> list[Figure]:
    a_second = flooded.accepted / flooded.seconds
    full = flooded.depth / a_second * 1000
    growth = ", ".join(f"{role} {written(grown)}" for role, grown in flooded.resident_growth.items())
    return [
        Figure(
            name=f"accepted, submit to result, p99, at {written(flooded.rate)} images/s for {flooded.seconds:.0f} s",
            value=flooded.accepted_p99,
            unit="ms",
            beside=f"p50 {written(flooded.accepted_p50)}; a full lane, {flooded.depth} at {written(a_second)}"
            f" images/s: {written(full)} ms; alone p99 {written(flooded.normal_p99)}",
            goal=Goal(at_most=full * 1.5),
            detail=asdict(flooded),
        ),
        Figure(
            name="  accepted a second",
            value=a_second,
            unit="images/s",
            beside=f"{written(flooded.sustained)} sustained; {flooded.accepted:,} in all, {flooded.refused:,} refused",
        ),
        Figure(
            name="refusals, p95",
            value=flooded.refused_p95,
            unit="ms",
            beside=f"p50 {written(flooded.refused_p50)}, p99 {written(flooded.refused_p99)} ms",
            goal=Goal(at_most=10.0),
        ),
        Figure(
            name="as before, after",
            value=flooded.settled_seconds,
            unit="s",
            beside=f"p99 {written(flooded.normal_p99)} ms, one at a time",
            goal=Goal(at_most=5.0),
        ),
        Figure(
            name="Redis' memory, last quarter against first",
            value=flooded.memory_late / flooded.memory_early,
            unit="x",
            beside=f"{written(flooded.memory_early)} MiB, cached results among them; resident MiB grown: {growth}",
            goal=Goal(at_most=1.5),
        ),
    ]
