"""One image a request: images a second until every row is in Postgres, and latency of requests that wait."""

from dataclasses import dataclass

from benchmarks.measuring.generator import generate
from benchmarks.measuring.predictions import (
    Throughput,
    check_predictions,
    measure_run,
    median_run,
    plan_predictions,
)
from benchmarks.order_statistics import middle, percentile
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Subject, Workbench


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Requests that wait for their result: how many a second, and milliseconds from submit to result."""

    requests_per_second: float
    p50: float
    p99: float
    runs: list[float]


def throughput(bench: Workbench, stack: Stack, subject: Subject, *, images: int) -> Throughput:
    """Submit `images`, wait until each has its row, check each row; as often as the bench repeats."""
    return median_run([measure_run(bench, stack, subject, images=images) for _ in range(bench.amounts.repeats)])


def waiting(bench: Workbench, stack: Stack, subject: Subject, *, requests: int, connections: int) -> Waiting:
    """Send requests with `Prefer: wait`, check each answer and each row; as often as the bench repeats."""
    speeds, fiftieths, ninetyninths = [], [], []
    for _ in range(bench.amounts.repeats):
        load = plan_predictions(bench, stack, subject, images=requests, connections=connections, wait=True)
        outcome = generate(bench, load)
        speeds.append(requests / (outcome.ended - outcome.started))
        fiftieths.append(percentile(outcome.milliseconds, 0.50))
        ninetyninths.append(percentile(outcome.milliseconds, 0.99))
        stack.wait_until_idle(limit=60)
        check_predictions(bench, stack, subject, outcome)
    return Waiting(
        requests_per_second=middle(speeds),
        p50=middle(fiftieths),
        p99=middle(ninetyninths),
        runs=speeds,
    )
