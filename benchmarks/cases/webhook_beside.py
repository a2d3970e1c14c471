"""The effect of a thousand receivers that hang on one that answers."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from benchmarks.load.children import Child
from benchmarks.load.plan import Outcome, Plan
from benchmarks.measuring import webhook_deliveries
from benchmarks.measuring.generator import finished, generate, started
from benchmarks.measuring.predictions import check_predictions, plan_predictions
from benchmarks.order_statistics import percentile
from benchmarks.stack import servers
from benchmarks.stack.darkroom import Stack
from benchmarks.stack.servers import NotReady
from benchmarks.workbench import Subject, Workbench

HANGING = 1000
_AT_LEAST = HANGING // 2
"""The least number of attempts that must hang while the other receiver is measured; the courier keeps room for more."""
# Room for all of them: the kernel accepts the connections, this process never does. Linux' own limit is 4,096 too.
_BACKLOG = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideHanging:
    """Milliseconds from a prediction's `completed_at` to its arrival, predictions one after the other."""

    predictions: int
    least_hanging: int
    """The least number of attempts that hung, before the first delivery and after the last."""
    p50_alone: float
    p99_alone: float
    p50_beside: float
    p99_beside: float


def measure(bench: Workbench, stack: Stack, subject: Subject, *, predictions: int) -> BesideHanging:
    """Deliver to the one that answers alone, then beside those that hang; everything is checked."""
    with webhook_deliveries.receiving(bench) as receiver, _hanging() as urls:
        load = webhook_deliveries.plan_notified(
            bench, stack, subject, url=receiver.url, images=predictions, connections=1, wait=True
        )
        bench.say("  one after the other, alone")
        with started(bench, load) as generator:
            alone = _delivered(stack, generator.wait_until_ready(), load, receiver.url, so_far=predictions)
        load = replace(load, stamp=bench.stamp())
        # Prepared before the others hang: their attempts end after some seconds.
        with started(bench, load) as generator:
            generator.wait_until_ready()
            bench.say(f"  beside {len(urls):,} receivers that hang")
            others = generate(bench, _one_each(bench, stack, subject, urls))
            before = _wait_until_hanging(stack)
            beside = _delivered(stack, generator, load, receiver.url, so_far=2 * predictions)
            after = webhook_deliveries.first_attempts(stack)
        received = receiver.received()
        stack.wait_until_idle(limit=60)
        webhook_deliveries.check_undelivered(stack, others.ids)
    if after < _AT_LEAST:
        raise NotReady(f"{after} attempts hung still at the end, not {_AT_LEAST}")
    webhook_deliveries.check_received(received, [*alone.ids, *beside.ids])
    for outcome in (alone, others, beside):
        check_predictions(bench, stack, subject, outcome)
    took = dict(zip(received.predictions, received.milliseconds, strict=True))
    return BesideHanging(
        predictions=predictions,
        least_hanging=min(before, after),
        p50_alone=percentile([took[id] for id in alone.ids], 0.50),
        p99_alone=percentile([took[id] for id in alone.ids], 0.99),
        p50_beside=percentile([took[id] for id in beside.ids], 0.50),
        p99_beside=percentile([took[id] for id in beside.ids], 0.99),
    )


@contextmanager
def _hanging() -> Iterator[Sequence[str]]:
    """Yield the URLs of a thousand destinations that accept and never answer: one socket that is not read."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))  # noqa: S104  all of 127.0.0.0/8 is this machine's
        listener.listen(_BACKLOG)
        port = listener.getsockname()[1]
        yield [f"http://127.0.{number // 250}.{number % 250 + 1}:{port}/" for number in range(HANGING)]


def _one_each(bench: Workbench, stack: Stack, subject: Subject, urls: Sequence[str]) -> Plan:
    """Return a plan of one prediction for each URL."""
    load = plan_predictions(bench, stack, subject, images=len(urls))
    return replace(load, paths=[webhook_deliveries.notifying_path(load, url=url) for url in urls])


def _wait_until_hanging(stack: Stack) -> int:
    """Return how many attempts hang once they are enough."""
    servers.wait_until(
        lambda: webhook_deliveries.first_attempts(stack) >= _AT_LEAST,
        limit=10,
        pause=0.05,
        what=f"{_AT_LEAST} that hang",
    )
    return webhook_deliveries.first_attempts(stack)


def _delivered(stack: Stack, generator: Child, load: Plan, url: str, *, so_far: int) -> Outcome:
    """Let a prepared generator run until so many webhooks in all have been delivered to `url`."""
    outcome = finished(generator, load)
    webhook_deliveries.wait_until_logged(stack, url=url, deliveries=so_far)
    return outcome
