"""Whether a job costs more as an installation grows: what waits, idle predict processes, models, gateways.

Processor time a job by role. Each kind of growth is compared with its smallest amount, in turns on one stack (gateways:
on one stack each; jobs waiting: one amount after the other). Requests are always for digits, with two predict workers
that compute. Idle predict processes are simulated (`benchmarks.load.idle_workers`): 64 with torch would not fit a small
machine. The other models have a route and are polled, and get no image.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.cases import depth as depth_case
from benchmarks.load.children import Child
from benchmarks.load.idle_workers import IdleWorkers
from benchmarks.measuring.generator import generate
from benchmarks.measuring.predictions import measure_run, plan_predictions, warm_up_predictions
from benchmarks.order_statistics import middle
from benchmarks.stack import darkroom
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import DIGITS, Subject, Workbench

WAITING: Final = "jobs waiting"
IDLE: Final = "idle predict processes"
MODELS: Final = "models with a route"
GATEWAYS: Final = "gateways"
DEPTHS: Final = (10, 1_000, 100_000)
DEEPEST: Final = 1_000_000
_ROUNDS: Final = 8
"""How often `growth_jobs / 8` are submitted and computed at each depth: few at a time, so that the depth stays."""
_IDLE_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """At one amount of one kind: milliseconds of processor time a job, by role; medians of the turns.

    `idle_percent`: what each role uses of a core without any job. `rewrites`: how often it began to rewrite its
    append-only file in all turns, which costs as much as thousands of jobs.
    """

    kind: str
    amount: int
    milliseconds: dict[str, float]
    rewrites: int
    idle_percent: dict[str, float] | None = None

    @property
    def total(self) -> float:
        """Processor time a job of all roles."""
        return sum(self.milliseconds.values())


def measure(bench: Workbench, subject: Subject, found: list[Grown]) -> None:
    """Measure each kind; add what is found, the smallest amount of each kind first."""
    with _stack(bench, subject) as stack:
        found += _in_turns(bench, stack, subject, IDLE, {1: (1, 0), 8: (8, 0), 64: (64, 0)})
        found += _in_turns(bench, stack, subject, MODELS, {1: (1, 0), 200: (1, 199)})
    for gateways in (1, 8):
        with _stack(bench, subject, gateways=gateways) as stack:
            found += _in_turns(bench, stack, subject, GATEWAYS, {gateways: None})
    depths = [depth for depth in (*DEPTHS, DEEPEST) if depth <= bench.amounts.growth_depth]
    # More than a lane takes by default: a lane's limit, and an upload's, are no part of what is measured.
    with _stack(bench, subject, settings={"DARKROOM_QUEUE_MAX_LANE_DEPTH": str(2 * DEEPEST)}) as stack:
        for depth in depths:
            found.append(_waiting(bench, stack, subject, depth))


@contextmanager
def _stack(
    bench: Workbench, subject: Subject, *, gateways: int = 1, settings: dict[str, str] | None = None
) -> Iterator[Stack]:
    bench.say(f"Darkroom: growth, gateways: {gateways}")
    chosen = {"DARKROOM_LOCAL_GATEWAYS": str(gateways)} | (settings or {})
    with darkroom.running(bench, DIGITS, appendfsync="everysec", settings=chosen) as stack:
        warm_up_predictions(bench, stack, subject)
        yield stack


def _in_turns(
    bench: Workbench, stack: Stack, subject: Subject, kind: str, amounts: dict[int, tuple[int, int] | None]
) -> list[Grown]:
    """Measure each amount once a turn; it has so many idle processes and other models, or none of either."""
    costs: dict[int, list[dict[str, float]]] = defaultdict(list)
    idle: dict[int, list[dict[str, float]]] = defaultdict(list)
    rewrites: dict[int, int] = defaultdict(int)
    for _ in range(bench.amounts.repeats):
        for amount, workers in amounts.items():
            with _registered(bench, stack, workers) if workers else nullcontext():
                bench.say(f"  {kind}: {amount:,}")
                stack.wait_until_rewritten(limit=120)
                idle[amount].append(_idle_percent(stack))
                before = stack.rewrites()
                run = measure_run(bench, stack, subject, images=bench.amounts.growth_jobs, query=f"model={stack.model}")
                costs[amount].append(run.milliseconds)
                rewrites[amount] += stack.rewrites() - before
    return [
        Grown(
            kind=kind,
            amount=amount,
            milliseconds=_medians(costs[amount]),
            rewrites=rewrites[amount],
            idle_percent=_medians(idle[amount]),
        )
        for amount in amounts
    ]


@contextmanager
def _registered(bench: Workbench, stack: Stack, workers: tuple[int, int]) -> Iterator[None]:
    """Have idle predict processes during the block, which serve other models too."""
    processes, models = workers
    plan = IdleWorkers(redis_url=stack.redis_url, like=stack.model, processes=processes, models=models)
    with Child("benchmarks.load.idle_workers", task=plan.as_json(), output=bench.new_file("idle")) as child:
        child.wait_until_ready().begin()
        yield
        child.end()
        child.result(limit=30)


def _idle_percent(stack: Stack) -> dict[str, float]:
    """Return what each role uses of a core while nothing is submitted."""
    before, began = stack.spent(), time.monotonic()
    time.sleep(_IDLE_SECONDS)
    after, seconds = stack.spent(), time.monotonic() - began
    return {role: (after[role] - before[role]) / seconds * 100 for role in before}


def _waiting(bench: Workbench, stack: Stack, subject: Subject, depth: int) -> Grown:
    """Let `depth` jobs wait; then submit more with the predict workers stopped, and compute as many, repeatedly.

    What waits is left: the next depth is deeper, and the last stack is stopped with it.
    """
    bench.say(f"  {WAITING}: {depth:,}")
    jobs, rewrites = max(1, bench.amounts.growth_jobs // _ROUNDS), 0
    costs: dict[str, float] = defaultdict(float)
    for _ in range(_ROUNDS):
        with stack.workers_stopped():
            stack.wait_until_recorded(limit=30)
            missing = depth - stack.depth()
            if missing > 0:
                plan = plan_predictions(bench, stack, subject, images=missing)
                generate(bench, replace(plan, limit=max(plan.limit, missing / 1000)))
            stack.wait_until_rewritten(limit=300)
            forks = stack.rewrites()
            submitted = depth_case.submit(bench, stack, subject, jobs=jobs)
            rows, before = stack.count_rows(), stack.spent()
        drained = depth_case.drain(stack, before=before, rows=rows, until=depth)
        rewrites += stack.rewrites() - forks
        for role, value in submitted.items():
            costs[role] += (value + drained[role]) / _ROUNDS
    return Grown(kind=WAITING, amount=depth, milliseconds=dict(costs), rewrites=rewrites)


def _medians(costs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {role: middle(cost[role] for cost in costs) for role in costs[0]}
