"""What a shadow costs those who wait for an answer: latency at a steady rate without and with one, in turns.

The shadow has the champion's files, is loaded in all turns, and predicts no image or every image. Each image that it
was to predict must have its row, with the champion's class, or be counted as skipped.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import httpx

from benchmarks.cases.swap import CONNECTIONS, RATES
from benchmarks.load.children import Child
from benchmarks.load.flooder import Flood, Washed
from benchmarks.measuring.generator import generate
from benchmarks.measuring.predictions import check_rows, compare_classes, plan_predictions
from benchmarks.order_statistics import percentile
from benchmarks.stack import servers
from benchmarks.stack.darkroom import Stack
from benchmarks.stack.promotion import Promotions
from benchmarks.workbench import Subject, Workbench, WrongResult
from shared.domain.identifiers import ModelName
from shared.domain.model_route import SHADOW, SHADOW_PERCENT
from shared.queue import keys

LONGEST: Final = 120.0
"""Seconds that a change of the route, or the shadow's images after a turn, may take."""
PROBES: Final = 100
_QUEUED: Final = re.compile(r"^darkroom_shadow_queued_total\{[^}]*\} (\S+)$", re.MULTILINE)
_SKIPPED: Final = re.compile(r"^darkroom_shadow_skipped_total\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Milliseconds from when a request was due to its answer, of all turns without a shadow or all with one.

    `turns`: each turn's p99. `shadowed` images have a row of the shadow's, `skipped` ones are counted as left out.
    """

    requests: int
    p50: float
    p99: float
    longest: float
    turns: list[float]
    shadowed: int
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """One model's turns at `rate` images a second."""

    rate: float
    without: Side
    beside: Side

    @property
    def times(self) -> float:
        """The p99 with the shadow as a multiple of that without."""
        return self.beside.p99 / self.without.p99


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    milliseconds: list[float]
    shadowed: int
    skipped: int


def measure(bench: Workbench, stack: Stack, subject: Subject) -> Shadowed:
    """Take turns, without a shadow first; the answer to every image is checked, and the shadow's too."""
    turns: dict[int, list[_Turn]] = {0: [], 100: []}
    promotions = Promotions(stack)
    try:
        promotions.tag(SHADOW_PERCENT, "0")
        promotions.alias(SHADOW, promotions.register_again())
        for _ in range(bench.amounts.repeats):
            for percent, of_it in turns.items():
                promotions.tag(SHADOW_PERCENT, str(percent))
                _wait_until_followed(bench, stack, subject, percent=percent)
                of_it.append(_turn(bench, stack, subject, percent=percent))
                bench.say(f"  {percent}%: p99 {percentile(of_it[-1].milliseconds, 0.99):.1f} ms")
    finally:
        promotions.close()
    return Shadowed(rate=RATES[subject.name], without=_side(turns[0]), beside=_side(turns[100]))


def _turn(bench: Workbench, stack: Stack, subject: Subject, *, percent: int) -> _Turn:
    """Send images at the rate, and wait until their shadow predictions have their rows too."""
    queued, skipped = _counts(stack)
    plan = plan_predictions(bench, stack, subject, images=CONNECTIONS, connections=CONNECTIONS, wait=True)
    flood = Flood(
        plan=replace(plan, limit=bench.amounts.shadow_seconds + LONGEST),
        rate=RATES[subject.name],
        seconds=bench.amounts.shadow_seconds,
    )
    with Child("benchmarks.load.flooder", task=flood.as_json(), output=bench.new_file("shadow")) as flooder:
        flooder.wait_until_ready()
        flooder.begin()
        washed = Washed.from_file(flooder.result(limit=flood.seconds + LONGEST))
    if washed.refused_milliseconds:
        raise WrongResult(f"{len(washed.refused_milliseconds)} images were refused")
    stack.wait_until_idle(limit=LONGEST)
    check_rows(bench, stack, subject, washed.ids, numbers=washed.numbers)
    _wait_until_shadowed(stack)
    shadowed = _check_shadow_rows(bench, stack, subject, washed)
    queued, skipped = (after - before for after, before in zip(_counts(stack), (queued, skipped), strict=True))
    expected = len(washed.ids) * percent // 100
    if shadowed + skipped != expected:
        raise WrongResult(f"of {expected} images {shadowed} have a row of the shadow's, and {skipped} are skipped")
    if queued < shadowed:
        raise WrongResult(f"{shadowed} images have a row of the shadow's, and {queued} were kept for it")
    return _Turn(milliseconds=washed.accepted_milliseconds, shadowed=shadowed, skipped=skipped)


def _check_shadow_rows(bench: Workbench, stack: Stack, subject: Subject, washed: Washed) -> int:
    """Return how many of the images have a row of the shadow's. Raises WrongResult unless those are right."""
    with stack.connected() as cursor:
        cursor.execute(
            "SELECT prediction_id::text, status, agrees, output ->> 'predicted_class' FROM shadow_predictions"
            " WHERE prediction_id = ANY(%s::uuid[])",
            (washed.ids,),
        )
        rows = {id: (status, agrees, predicted) for id, status, agrees, predicted in cursor.fetchall()}
    if failed := [id for id, (status, _, _) in rows.items() if status != "succeeded"]:
        raise WrongResult(f"{len(failed)} shadow predictions did not succeed, {failed[0]} among them")
    # One in a thousand may differ, as in `compare_classes`.
    if (differing := sum(agrees is not True for _, agrees, _ in rows.values())) > len(rows) // 1000:
        raise WrongResult(f"{differing} of {len(rows)} shadow predictions differ from the same files' champion")
    numbers = dict(zip(washed.ids, washed.numbers, strict=True))
    compare_classes(
        bench, subject, [predicted for _, _, predicted in rows.values()], numbers=[numbers[id] for id in rows]
    )
    return len(rows)


def _wait_until_followed(bench: Workbench, stack: Stack, subject: Subject, *, percent: int) -> None:
    """Wait until every worker keeps so many images for the shadow: until few sent at once are all treated so."""

    def is_followed() -> bool:
        before = sum(_counts(stack))
        generate(bench, plan_predictions(bench, stack, subject, images=PROBES, wait=True))
        stack.wait_until_idle(limit=LONGEST)
        _wait_until_shadowed(stack)
        return sum(_counts(stack)) - before == PROBES * percent // 100

    for _ in range(2):  # one worker may have had them all
        servers.wait_until(is_followed, limit=LONGEST, pause=1, what=f"{percent}% of the images shadowed")


def _wait_until_shadowed(stack: Stack) -> None:
    """Wait until no image waits for the shadow, and no result of it for its row."""
    lane = keys.shadow_lane(ModelName(stack.model))
    servers.wait_until(
        lambda: not stack.redis.xlen(lane) and not stack.redis.xlen(keys.SHADOW_RESULTS),
        limit=LONGEST,
        pause=0.1,
        what="rows for the shadow's images",
    )


def _counts(stack: Stack) -> tuple[int, int]:
    """Return how many images were kept for the shadow so far, and how many were skipped, as the workers count."""
    told = [httpx.get(url, timeout=LONGEST).text for url in stack.metrics["predict"]]
    queued, skipped = (
        int(sum(float(count) for text in told for count in counter.findall(text))) for counter in (_QUEUED, _SKIPPED)
    )
    return queued, skipped


def _side(turns: Sequence[_Turn]) -> Side:
    every = [milliseconds for turn in turns for milliseconds in turn.milliseconds]
    return Side(
        requests=len(every),
        p50=percentile(every, 0.5),
        p99=percentile(every, 0.99),
        longest=max(every),
        turns=[percentile(turn.milliseconds, 0.99) for turn in turns],
        shadowed=sum(turn.shadowed for turn in turns),
        skipped=sum(turn.skipped for turn in turns),
    )
