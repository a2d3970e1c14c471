"""The effect of a large waiting batch on others: single requests, and a small batch."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate

from benchmarks.load.plan import Outcome, Plan
from benchmarks.load.upload import Uploaded
from benchmarks.measuring import bulk_uploads
from benchmarks.measuring.generator import finished, started
from benchmarks.measuring.predictions import check_predictions, compare_classes, plan_predictions
from benchmarks.order_statistics import middle, percentile
from benchmarks.stack.darkroom import Stack
from benchmarks.stack.servers import NotReady
from benchmarks.workbench import Subject, Workbench

SMALL = 100
_ALSO_WAITING = 0.3
"""Added to the large batch, for what is computed before the last request has its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Medians over the repeats, in milliseconds: requests with `Prefer: wait`, and a batch from first byte to last row.

    Alone, beside a large batch that waits, and, for the requests, while one is being uploaded as well.
    """

    large: int
    least_waiting: int
    """Images of the large batch still waiting when the last request had its answer; the least of all repeats."""
    p50_alone: float
    p50_beside: float
    p99_alone: float
    p99_beside: float
    p99_uploading: float
    small_alone: float
    small_beside: float
    small_runs: list[float]


def settings(bench: Workbench) -> Mapping[str, str]:
    """Return the settings that let the whole large batch wait in one lane."""
    return {"DARKROOM_BULK_MAX_LANE_DEPTH": str(_large(bench))}


def _large(bench: Workbench) -> int:
    return round(bench.amounts.large_upload * (1 + _ALSO_WAITING))


def measure(bench: Workbench, stack: Stack, subject: Subject) -> Beside:
    """Measure alone and beside, as often as the bench repeats; every result is checked."""
    bench.say("  alone")
    alone = [_hurried(bench, stack, subject) for _ in range(bench.amounts.repeats)]
    stack.wait_until_idle(limit=60)
    small_alone = _small_alone(bench, stack, subject)
    beside, small_beside, least = [], [], []
    for _ in range(bench.amounts.repeats):
        bench.say(f"  beside {_large(bench):,} images that wait")
        outcome, small, waiting = _beside(bench, stack, subject)
        beside.append(outcome)
        small_beside += small
        least.append(waiting)
    bench.say("  while they are uploaded")
    uploading = _uploading(bench, stack, subject)
    return Beside(
        large=_large(bench),
        least_waiting=min(least),
        p50_alone=_middle(alone, 0.50),
        p50_beside=_middle(beside, 0.50),
        p99_alone=_middle(alone, 0.99),
        p99_beside=_middle(beside, 0.99),
        p99_uploading=percentile(uploading, 0.99),
        small_alone=middle(small_alone),
        small_beside=middle(small_beside),
        small_runs=[*small_alone, *small_beside],
    )


def _middle(outcomes: Sequence[Outcome], share: float) -> float:
    return middle(percentile(outcome.milliseconds, share) for outcome in outcomes)


def _hurried(bench: Workbench, stack: Stack, subject: Subject) -> Outcome:
    """Send requests that wait, one at a time."""
    load = _requests(bench, stack, subject)
    with started(bench, load) as generator:
        outcome = finished(generator.wait_until_ready(), load)
    compare_classes(bench, subject, outcome.classes)
    return outcome


def _requests(bench: Workbench, stack: Stack, subject: Subject) -> Plan:
    return plan_predictions(bench, stack, subject, images=bench.amounts.hurried, connections=1, wait=True)


def _small_alone(bench: Workbench, stack: Stack, subject: Subject) -> list[float]:
    """Return milliseconds of each small batch on an idle stack."""
    with ExitStack() as clients:
        small = _small_batches(bench, stack, subject, clients)
        for batch in small:
            batch.send()
        return [batch.milliseconds() for batch in small]


def _beside(bench: Workbench, stack: Stack, subject: Subject) -> tuple[Outcome, list[float], int]:
    """Return requests, milliseconds of each small batch, and how much of the large batch still waited after them."""
    load, large = (
        _requests(bench, stack, subject),
        bulk_uploads.plan_upload(bench, stack, subject, images=_large(bench)),
    )
    with ExitStack() as clients:
        # Everything is prepared first; otherwise the waiting images would be computed meanwhile.
        small = _small_batches(bench, stack, subject, clients)
        generator = clients.enter_context(started(bench, load)).wait_until_ready()
        with stack.workers_stopped():
            uploaded = bulk_uploads.send_upload(bench, large)
            stack.wait_until_rewritten(limit=120)
        for batch in small:
            batch.send()
        outcome = finished(generator, load)
        waiting = stack.bulk_depth(uploaded.batch)
        if waiting < bench.amounts.kept_waiting:
            raise NotReady(f"{waiting:,} images waited at the end, not {bench.amounts.kept_waiting:,}")
        _check(bench, stack, subject, outcome, uploaded)
        milliseconds = [batch.milliseconds() for batch in small]
    return outcome, milliseconds, waiting


def _uploading(bench: Workbench, stack: Stack, subject: Subject) -> list[float]:
    """Return milliseconds of the requests answered while a large batch was uploaded, the workers at work on it."""
    load, large = (
        _requests(bench, stack, subject),
        bulk_uploads.plan_upload(bench, stack, subject, images=_large(bench)),
    )
    with bulk_uploads.prepared_client(bench, large) as client, started(bench, load) as generator:
        generator.wait_until_ready()
        client.wait_until_ready().begin()
        outcome = finished(generator, load)
        uploaded = bulk_uploads.upload_result(client, large)
    _check(bench, stack, subject, outcome, uploaded)
    answered = accumulate(outcome.milliseconds, initial=outcome.started * 1000)
    return [
        milliseconds
        for milliseconds, sent in zip(outcome.milliseconds, answered, strict=False)
        if sent + milliseconds < uploaded.accepted * 1000
    ]


def _check(bench: Workbench, stack: Stack, subject: Subject, outcome: Outcome, large: Uploaded) -> None:
    """Wait until everything has its row, and raise WrongResult where one is not the bare loop's."""
    stack.wait_until_idle(limit=300)
    bulk_uploads.wait_until_completed(stack, large, limit=30)
    check_predictions(bench, stack, subject, outcome)
    bulk_uploads.check_results(bench, stack, subject, large, images=_large(bench))


def _small_batches(bench: Workbench, stack: Stack, subject: Subject, clients: ExitStack) -> list["SmallBatch"]:
    return [SmallBatch(bench, stack, subject, clients) for _ in range(bench.amounts.small_batches)]


class SmallBatch:
    """One upload of few images, its client ready from the start."""

    def __init__(self, bench: Workbench, stack: Stack, subject: Subject, clients: ExitStack) -> None:
        self._bench, self._stack, self._subject = bench, stack, subject
        self._upload = bulk_uploads.plan_upload(bench, stack, subject, images=SMALL)
        self._client = clients.enter_context(bulk_uploads.prepared_client(bench, self._upload)).wait_until_ready()
        self._ended = 0.0

    def send(self) -> None:
        """Send it, and return when its last row is there."""
        self._ended = bulk_uploads.completed_after(self._stack, self._client, limit=60)

    def milliseconds(self) -> float:
        """Return how long that took from the first byte; raises WrongResult where a result is not the bare loop's."""
        uploaded = bulk_uploads.upload_result(self._client, self._upload)
        bulk_uploads.check_results(self._bench, self._stack, self._subject, uploaded, images=SMALL)
        return (self._ended - uploaded.started) * 1000
