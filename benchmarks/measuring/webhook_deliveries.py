"""Webhooks: run a receiver, submit predictions that name it, check what it received."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self
from urllib.parse import urlencode

from benchmarks.load.children import Child
from benchmarks.load.plan import Plan
from benchmarks.load.received import Received
from benchmarks.measuring.predictions import plan_predictions
from benchmarks.stack import servers
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Subject, Workbench, WrongResult

LIMIT = 120.0
"""Time limit of deliveries in seconds."""
_DELIVERED = "SELECT count(*) FROM webhook_deliveries WHERE url = %s AND status = 'delivered'"
_UNTRIED = "SELECT count(*) FROM webhook_deliveries WHERE url = %s AND status = 'pending' AND attempts = 0"
_UNDELIVERED = "SELECT count(*) FROM webhook_deliveries WHERE subject = ANY(%s::uuid[]) AND status <> 'delivered'"
_CLAIMED = """
    SELECT count(*) FROM webhook_deliveries
    WHERE status = 'pending' AND attempts = 0 AND next_attempt_at > clock_timestamp()
"""


class Receiver:
    """A process that listens on a port of its own and answers at once; used with `receiving`."""

    def __init__(self, child: Child, *, port: int) -> None:
        self._child = child
        self.url = f"http://127.0.0.1:{port}/"

    def prepared(self) -> Self:
        """Return itself once it listens."""
        self._child.wait_until_ready().begin()
        return self

    def received(self) -> Received:
        """End it and return everything it received."""
        self._child.end()
        return Received.from_file(self._child.result(limit=30))


@contextmanager
def receiving(bench: Workbench) -> Iterator[Receiver]:
    """Run a receiver while the block runs."""
    port = servers.free_port()
    with Child("benchmarks.load.receiver", task=b"%d" % port, output=bench.new_file("received")) as child:
        yield Receiver(child, port=port).prepared()


def notifying_path(plan: Plan, *, url: str) -> str:
    """Return the path to submit to, with `url` as the webhook for the end alone."""
    return f"{plan.path}?{urlencode({'webhook': url, 'webhook_events_filter': 'completed'})}"


def plan_notified(
    bench: Workbench,
    stack: Stack,
    subject: Subject,
    *,
    url: str,
    images: int,
    connections: int = 64,
    wait: bool = False,
) -> Plan:
    """Return a plan of raw bodies that no cache answers, each with `url` as its webhook."""
    load = plan_predictions(bench, stack, subject, images=images, connections=connections, wait=wait)
    return replace(load, path=notifying_path(load, url=url))


def wait_until_logged(stack: Stack, *, url: str, deliveries: int) -> None:
    """Return when so many rows say that they were delivered to `url`, as Postgres tells every 50 ms."""
    with stack.connected() as cursor:
        servers.wait_until(
            lambda: _count(cursor, _DELIVERED, url) >= deliveries,
            limit=LIMIT,
            pause=0.05,
            what=f"{deliveries:,} deliveries to {url} logged",
        )


def check_waiting(stack: Stack, *, url: str, deliveries: int) -> None:
    """Raise WrongResult unless exactly so many deliveries to `url` wait, none of them attempted."""
    with stack.connected() as cursor:
        waiting = _count(cursor, _UNTRIED, url)
    if waiting != deliveries:
        raise WrongResult(f"{waiting} deliveries wait for {url} where {deliveries} predictions ended")


def first_attempts(stack: Stack) -> int:
    """Return how many first attempts are in progress: deliveries claimed that have no finished attempt."""
    with stack.connected() as cursor:
        return _count(cursor, _CLAIMED)


def check_undelivered(stack: Stack, ids: Sequence[str]) -> None:
    """Raise WrongResult unless each of the predictions has a delivery that is not delivered."""
    with stack.connected() as cursor:
        open_ones = _count(cursor, _UNDELIVERED, list(ids))
    if open_ones != len(ids):
        raise WrongResult(f"{open_ones} of {len(ids)} deliveries to receivers that hang are open")


def check_received(received: Received, ids: Sequence[str]) -> None:
    """Raise WrongResult unless each of the predictions was received exactly once, under a delivery id of its own."""
    came = len(received.ids)
    if came != len(ids) or len(set(received.ids)) != came:
        raise WrongResult(f"{came} POSTs came under {len(set(received.ids))} ids, not {len(ids)}, each once")
    missing = set(ids) - set(received.predictions)
    if missing:
        raise WrongResult(f"{len(missing)} of {len(ids)} predictions were told to nobody, {min(missing)} among them")


def _count(cursor: Any, statement: str, *arguments: Any) -> int:
    cursor.execute(statement, arguments)
    return int(cursor.fetchone()[0])
