"""A flood of four times the sustainable rate for a minute: latency of accepted and refused requests, and recovery.

On the photographs' model, which two cores sustain some 300 images a second of: four times a small model's 4,000 is more
than one gateway can even read. The lane's depth is what an operator would set: images a second times the wait that is
bearable.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from benchmarks.load.children import Child, ChildFailed
from benchmarks.load.flooder import Flood, Washed
from benchmarks.measuring.generator import generate
from benchmarks.measuring.predictions import check_rows, plan_predictions
from benchmarks.order_statistics import percentile
from benchmarks.stack.darkroom import Stack
from benchmarks.stack.processors import resident_mebibytes
from benchmarks.workbench import Subject, Workbench, WrongResult

TIMES: Final = 4
BEARABLE: Final = timedelta(seconds=2)
CONNECTIONS: Final = 256
EXPECTED: Final = 300
"""Images a second, for the lane's depth, which has to be set before anything can be measured."""
SAMPLE_PAUSE: Final = 0.5
SETTLED: Final = 3
"""After this many requests in a row at the normal latency the stack counts as recovered."""
LONGEST: Final = 30.0
WATCHED: Final = ("api", "predict", "record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flooded:
    """A flood and its end. Rates in images a second, latencies in milliseconds, memory in MiB."""

    sustained: float
    rate: float
    seconds: float
    depth: int
    normal_p50: float
    normal_p99: float
    accepted: int
    refused: int
    accepted_p50: float
    accepted_p99: float
    """From submission to result."""
    refused_p50: float
    refused_p95: float
    refused_p99: float
    settled_seconds: float
    memory_early: float
    memory_late: float
    """Of Redis: the most in the first and in the last quarter."""
    resident_growth: dict[str, float]
    """Of processes, likewise the difference."""


def settings() -> Mapping[str, str]:
    """Return the setting that bounds the lane, and with it the wait."""
    return {"DARKROOM_QUEUE_MAX_LANE_DEPTH": str(_depth())}


def _depth() -> int:
    return round(EXPECTED * BEARABLE.total_seconds())


def measure(bench: Workbench, stack: Stack, subject: Subject) -> Flooded:
    """Measure the normal state, flood, then wait for recovery; every accepted image is checked."""
    amounts = bench.amounts
    sustained = _sustained(bench, stack, subject, images=amounts.photograph_requests // 2)
    normal = _requests(bench, stack, subject, count=amounts.hurried)
    bench.say(f"  {TIMES} times {sustained:.0f} images/s for {amounts.flood_seconds} s")
    flood = Flood(
        plan=plan_predictions(bench, stack, subject, images=CONNECTIONS, connections=CONNECTIONS),
        rate=TIMES * sustained,
        seconds=amounts.flood_seconds,
    )
    with Child("benchmarks.load.flooder", task=flood.as_json(), output=bench.new_file("flood")) as flooder:
        flooder.wait_until_ready()
        with _watched(stack) as samples:
            flooder.begin()
            washed = Washed.from_file(flooder.result(limit=flood.seconds + 60))
        settled = _settled(bench, stack, subject, normal=percentile(normal, 0.99))
    stack.wait_until_idle(limit=60)
    check_rows(bench, stack, subject, washed.ids, numbers=washed.numbers)
    totals = stack.total_milliseconds(washed.ids)
    early, late = samples[: len(samples) // 4], samples[-(len(samples) // 4) :]
    return Flooded(
        sustained=sustained,
        rate=flood.rate,
        seconds=flood.seconds,
        depth=_depth(),
        normal_p50=percentile(normal, 0.5),
        normal_p99=percentile(normal, 0.99),
        accepted=len(washed.ids),
        refused=len(washed.refused_milliseconds),
        accepted_p50=percentile(totals, 0.5),
        accepted_p99=percentile(totals, 0.99),
        refused_p50=percentile(washed.refused_milliseconds, 0.5),
        refused_p95=percentile(washed.refused_milliseconds, 0.95),
        refused_p99=percentile(washed.refused_milliseconds, 0.99),
        settled_seconds=settled,
        memory_early=max(sample["redis"] for sample in early),
        memory_late=max(sample["redis"] for sample in late),
        resident_growth={
            role: max(sample[role] for sample in late) - max(sample[role] for sample in early) for role in WATCHED
        },
    )


def _sustained(bench: Workbench, stack: Stack, subject: Subject, *, images: int) -> float:
    """Return images a second while 64 people wait, each for one image at a time."""
    outcome = generate(bench, plan_predictions(bench, stack, subject, images=images, connections=64, wait=True))
    return images / (outcome.ended - outcome.started)


def _requests(bench: Workbench, stack: Stack, subject: Subject, *, count: int) -> list[float]:
    """Return milliseconds of requests that wait for their result, one at a time."""
    return generate(bench, plan_predictions(bench, stack, subject, images=count, connections=1, wait=True)).milliseconds


def _settled(bench: Workbench, stack: Stack, subject: Subject, *, normal: float) -> float:
    """Return the seconds until requests take no longer than normal again, several in a row."""
    began, in_a_row = time.monotonic(), 0
    while in_a_row < SETTLED:
        try:
            [milliseconds] = _requests(bench, stack, subject, count=1)
        except ChildFailed:  # refused: the lane is full still
            milliseconds = float("inf")
        in_a_row = in_a_row + 1 if milliseconds <= normal else 0
        if time.monotonic() - began > LONGEST:
            raise WrongResult(f"after {LONGEST:.0f} s it takes {milliseconds:.0f} ms, not {normal:.0f}")
    return time.monotonic() - began


@contextmanager
def _watched(stack: Stack) -> Iterator[list[dict[str, float]]]:
    """Read memory twice a second while the block runs."""
    samples: list[dict[str, float]] = []
    over = threading.Event()

    def read_memory() -> None:
        while not over.wait(SAMPLE_PAUSE):
            resident = {role: resident_mebibytes(stack.roles[role]) for role in WATCHED}
            samples.append({"redis": stack.memory_mebibytes(), **resident})

    thread = threading.Thread(target=read_memory)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
