"""What every throughput is shown with: what a job costs and where, and its share of the bare loop's."""

from benchmarks.cases.found import Found
from benchmarks.figures.report import Figure, Goal, written
from benchmarks.measuring.predictions import Throughput


def cost_figure(
    found: Found, throughput: Throughput, subject: str, *, goal: Goal | None, name: str = "  CPU a job"
) -> Figure:
    """Return the processor time a job over all roles, and where it goes."""
    roles = ", ".join(f"{role} {written(cost)}" for role, cost in throughput.milliseconds.items())
    return Figure(
        name=name,
        value=throughput.total_milliseconds,
        unit="ms",
        beside=f"{roles}; load generator apart {written(throughput.generator_milliseconds)}",
        goal=goal,
        detail={
            "cpu_ms_by_role": throughput.milliseconds,
            "generator_ms": throughput.generator_milliseconds,
            "cores_busy": throughput.images_per_second * throughput.total_milliseconds / 1000,
            "bare_ms": {str(n): loop.milliseconds for (name, n), loop in found.loops.items() if name == subject},
        },
    )


def beside_loops(found: Found, subject: str, throughput: Throughput) -> str:
    """Return the throughput as a share of each bare loop's."""
    return ", ".join(
        f"{written(throughput.images_per_second / loop.images_per_second)} of the loop with {processes}"
        for (name, processes), loop in found.loops.items()
        if name == subject
    )
