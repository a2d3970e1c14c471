"""The figures of webhooks: how many a second, how soon, what one costs, and what receivers that hang do to others."""

from dataclasses import asdict

from benchmarks.cases.found import Found
from benchmarks.cases.webhook import Webhooks
from benchmarks.cases.webhook_beside import HANGING, BesideHanging
from benchmarks.figures.report import Figure, Goal, Section, written
from benchmarks.figures.throughput import cost_figure
from benchmarks.workbench import DIGITS


def sections(found: Found) -> list[Section]:
    """Return what was found of webhooks."""
    figures = []
    if found.webhooks:
        figures += [*_steady(found, found.webhooks), *_alone(found.webhooks)]
    if found.beside_hanging:
        figures.append(_beside(found.beside_hanging))
    return [Section(title="webhooks", figures=figures)]


def _steady(found: Found, webhooks: Webhooks) -> list[Figure]:
    return [
        Figure(
            name=f"{webhooks.deliveries:,} to one receiver, first submit to last arrival",
            value=webhooks.steady.images_per_second,
            unit="deliveries/s",
            beside="predictions submitted, computed and recorded meanwhile",
            detail={"runs": webhooks.steady.runs},
        ),
        cost_figure(found, webhooks.steady, DIGITS, goal=None, name="  CPU a job, its delivery included"),
        Figure(
            name="  its end to its arrival, p99",
            value=webhooks.p99,
            unit="ms",
            beside=f"p50 {written(webhooks.p50)} ms, with all that wait for the courier",
        ),
    ]


def _alone(webhooks: Webhooks) -> list[Figure]:
    alone = webhooks.alone
    roles = ", ".join(f"{role} {written(cost)}" for role, cost in alone.milliseconds.items())
    return [
        Figure(
            name="the courier alone, all recorded before",
            value=alone.per_second,
            unit="deliveries/s",
            beside=f"{written(webhooks.steady.images_per_second)}/s with all the rest",
            detail={"runs": webhooks.alone_runs},
        ),
        Figure(
            name="  CPU a delivery",
            value=sum(alone.milliseconds.values()),
            unit="ms",
            beside=f"{roles}; receiver apart {written(alone.receiver_milliseconds)}",
            detail={"cpu_ms_by_role": alone.milliseconds, "receiver_ms": alone.receiver_milliseconds},
        ),
    ]


def _beside(beside: BesideHanging) -> Figure:
    return Figure(
        name=f"its end to its arrival, p99, beside {HANGING:,} receivers that hang",
        value=beside.p99_beside,
        unit="ms",
        beside=f"p50 {written(beside.p50_beside)} ms, one after the other; alone p50 {written(beside.p50_alone)} ms,"
        f" p99 {written(beside.p99_alone)} ms; {beside.least_hanging:,} attempts hung all the time",
        goal=Goal(at_most=2000.0),
        detail=asdict(beside),
    )
