"""Webhooks to one fast receiver: how many a second, how soon after the end, and what one costs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measuring import webhook_deliveries
from benchmarks.measuring.generator import finished, generate, started
from benchmarks.measuring.predictions import Run, Throughput, check_predictions, median_run
from benchmarks.order_statistics import middle, percentile
from benchmarks.stack import processors
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Subject, Workbench

COURIER = ("webhooks", "postgres")
"""The roles that deliver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """The courier with everything recorded before it goes on: deliveries a second from there to the last arrival.

    `milliseconds` is processor time a delivery, its row's end included, of the roles that deliver.
    """

    per_second: float
    milliseconds: dict[str, float]
    receiver_milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Medians over the repeats: `steady` from the first submit to the last arrival, and the courier alone."""

    deliveries: int
    steady: Throughput
    p50: float
    """Milliseconds from `completed_at` to the arrival, while all of them are submitted as fast as they can be."""
    p99: float
    alone: Alone
    alone_runs: list[float]


def warm_up(bench: Workbench, stack: Stack, subject: Subject) -> None:
    """Deliver a few webhooks before anything is measured."""
    _steady(bench, stack, subject, images=200)


def measure(bench: Workbench, stack: Stack, subject: Subject, *, images: int) -> Webhooks:
    """Measure both in turn, as often as the bench repeats; everything received is checked."""
    steady, fiftieths, ninetyninths, alone = [], [], [], []
    for _ in range(bench.amounts.repeats):
        run, milliseconds = _steady(bench, stack, subject, images=images)
        steady.append(run)
        fiftieths.append(percentile(milliseconds, 0.50))
        ninetyninths.append(percentile(milliseconds, 0.99))
        alone.append(_alone(bench, stack, subject, images=images))
    return Webhooks(
        deliveries=images,
        steady=median_run(steady),
        p50=middle(fiftieths),
        p99=middle(ninetyninths),
        alone=_median(alone),
        alone_runs=[one.per_second for one in alone],
    )


def _median(runs: Sequence[Alone]) -> Alone:
    return Alone(
        per_second=middle(run.per_second for run in runs),
        milliseconds={role: middle(run.milliseconds[role] for run in runs) for role in COURIER},
        receiver_milliseconds=middle(run.receiver_milliseconds for run in runs),
    )


def _steady(bench: Workbench, stack: Stack, subject: Subject, *, images: int) -> tuple[Run, list[float]]:
    """Submit all while the courier delivers; return the run, and milliseconds from each one's end to its arrival."""
    with webhook_deliveries.receiving(bench) as receiver:
        load = webhook_deliveries.plan_notified(bench, stack, subject, url=receiver.url, images=images)
        with started(bench, load) as generator:
            generator.wait_until_ready()
            before = stack.spent()
            outcome = finished(generator, load)
            stack.wait_until_idle(limit=load.limit)
            webhook_deliveries.wait_until_logged(stack, url=receiver.url, deliveries=images)
            after = stack.spent()
        received = receiver.received()
    webhook_deliveries.check_received(received, outcome.ids)
    check_predictions(bench, stack, subject, outcome)
    run = Run(
        images_per_second=images / (max(received.arrived) - outcome.started),
        milliseconds=processors.milliseconds_each(before, after, jobs=images),
        generator_milliseconds=outcome.processor_seconds * 1000 / images,
    )
    return run, received.milliseconds


def _alone(bench: Workbench, stack: Stack, subject: Subject, *, images: int) -> Alone:
    """Let all be recorded with the courier stopped, then let it go on with nothing else to do beside it."""
    roles = {role: stack.roles[role] for role in COURIER}
    with webhook_deliveries.receiving(bench) as receiver:
        load = webhook_deliveries.plan_notified(bench, stack, subject, url=receiver.url, images=images)
        with stack.workers_stopped("webhooks"):
            outcome = generate(bench, load)
            stack.wait_until_idle(limit=load.limit)
            webhook_deliveries.check_waiting(stack, url=receiver.url, deliveries=images)
            before, continued = processors.spent(roles), time.monotonic()
        webhook_deliveries.wait_until_logged(stack, url=receiver.url, deliveries=images)
        after = processors.spent(roles)
        received = receiver.received()
    webhook_deliveries.check_received(received, outcome.ids)
    check_predictions(bench, stack, subject, outcome)
    return Alone(
        per_second=images / (max(received.arrived) - continued),
        milliseconds=processors.milliseconds_each(before, after, jobs=images),
        receiver_milliseconds=received.processor_seconds * 1000 / images,
    )
