"""What clients notice of a promotion: latency at a steady rate before, during and after it, and how long it takes.

"During" begins when the alias is moved and ends when the last worker has the version loaded.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import httpx

from benchmarks.load.children import Child
from benchmarks.load.flooder import Flood, Washed
from benchmarks.measuring.predictions import check_rows, plan_predictions
from benchmarks.order_statistics import middle, percentile
from benchmarks.stack import servers
from benchmarks.stack.darkroom import Stack
from benchmarks.stack.promotion import Promotions
from benchmarks.workbench import DIGITS, MOBILENET, Subject, Workbench, WrongResult

RATES: Final = {DIGITS: 100.0, MOBILENET: 30.0}
"""Images a second: about a tenth of what two cores sustain."""
LONGEST: Final = 60.0
"""Seconds that a promotion may take."""
EXPECTED: Final = 15.0
"""Seconds of load beside those before and after; a promotion that takes longer has fewer requests after it."""
CONNECTIONS: Final = 128
_SERVING: Final = re.compile(
    r'^darkroom_model_version_serving\{alias="champion",model="[^"]*",version="(\d+)"\}', re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Milliseconds from when a request was due to its answer, in one part of the run."""

    requests: int
    p50: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """One promotion at `rate` images a second; `seconds` after the alias was moved the last worker had the version."""

    rate: float
    workers: int
    before: Part
    during: Part
    after: Part
    first_seconds: float
    seconds: float

    @property
    def times(self) -> float:
        """The p99 during the promotion as a multiple of the one before."""
        return self.during.p99 / self.before.p99


def measure(bench: Workbench, stack: Stack, subject: Subject) -> list[Swap]:
    """Promote a version that no worker has loaded, as often as the bench repeats; every image is checked."""
    promotions = Promotions(stack)
    try:
        return [_swap(bench, stack, subject, promotions) for _ in range(bench.amounts.repeats)]
    finally:
        promotions.close()


def median_swap(swaps: Sequence[Swap]) -> Swap:
    """Return the swap whose p99 during it is the middle one."""
    return sorted(swaps, key=lambda swap: swap.times)[(len(swaps) - 1) // 2]


def _swap(bench: Workbench, stack: Stack, subject: Subject, promotions: Promotions) -> Swap:
    calm, rate = bench.amounts.swap_seconds, RATES[subject.name]
    version = promotions.register_again()
    plan = plan_predictions(bench, stack, subject, images=CONNECTIONS, connections=CONNECTIONS, wait=True)
    flood = Flood(plan=replace(plan, limit=LONGEST * 4), rate=rate, seconds=2 * calm + EXPECTED)
    with Child("benchmarks.load.flooder", task=flood.as_json(), output=bench.new_file("swap")) as flooder:
        flooder.wait_until_ready()
        flooder.begin()
        time.sleep(calm)
        promotions.promote(version)
        moved = time.monotonic()
        loaded = _loaded_at(stack, version)
        washed = Washed.from_file(flooder.result(limit=flood.seconds + LONGEST))
    stack.wait_until_idle(limit=60)
    if washed.refused_milliseconds:
        raise WrongResult(f"{len(washed.refused_milliseconds)} images were refused during a promotion")
    check_rows(bench, stack, subject, washed.ids, numbers=washed.numbers)
    swap = Swap(
        rate=rate,
        workers=len(loaded),
        before=_part(washed, rate, washed.started, moved),
        during=_part(washed, rate, moved, max(loaded)),
        after=_part(washed, rate, max(loaded) + 1, washed.ended),
        first_seconds=min(loaded) - moved,
        seconds=max(loaded) - moved,
    )
    bench.say(
        f"  p99 {swap.before.p99:.0f} ms before, {swap.during.p99:.0f} during (longest {swap.during.longest:.0f}),"
        f" {swap.after.p99:.0f} after; {swap.first_seconds:.1f} to {swap.seconds:.1f} s"
    )
    return swap


def _part(washed: Washed, rate: float, begin: float, end: float) -> Part:
    """Return the latency of the requests that were due in a part of the run."""
    found = [
        milliseconds
        for number, milliseconds in zip(washed.numbers, washed.accepted_milliseconds, strict=True)
        if begin <= washed.started + number / rate < end
    ]
    if not found:
        raise WrongResult("no request was due in a part of the run")
    return Part(requests=len(found), p50=middle(found), p99=percentile(found, 0.99), longest=max(found))


def _loaded_at(stack: Stack, version: str) -> list[float]:
    """Return when each predict worker began to serve the version (monotonic), as its metrics say."""
    waiting, loaded = list(stack.metrics["predict"]), []

    def all_serve() -> bool:
        for url in list(waiting):
            if version in _SERVING.findall(httpx.get(url, timeout=LONGEST).text):
                waiting.remove(url)
                loaded.append(time.monotonic())
        return not waiting

    servers.wait_until(all_serve, limit=LONGEST, pause=0.2, what=f"version {version} on every worker")
    return loaded
