"""Darkroom at its defaults with one model: throughput, latency, and what each costs."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.figures.report import Figure, Goal, written
from benchmarks.gpu import model_facts
from benchmarks.gpu.device_samples import DeviceSamples
from benchmarks.load.plan import Outcome, Plan
from benchmarks.measuring.generator import started
from benchmarks.order_statistics import percentile
from benchmarks.stack import processors
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Workbench, WrongResult

_CONNECTIONS: Final = 128
_WAITING: Final = 64
_MOST_IMAGES: Final = 45_000
"""Fewer than a lane takes (`DARKROOM_QUEUE_MAX_LANE_DEPTH`), so that none is refused."""
_LIMIT: Final = 60.0
HEADLINE: Final = "resnet50"
_GOAL_SPEED: Final = Goal(at_least=5000.0)
_GOAL_P50: Final = Goal(at_most=7.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model that a running stack serves, its images and what each of them should be."""

    bench: Workbench
    stack: Stack
    samples: DeviceSamples
    model: str
    images: Path
    classes: list[str]
    generators: int
    """Load generators that share a run, a process each: one sends some 3,000 photographs a second."""
    on_gpu: bool


def warm_up(served: Served, *, images: int) -> float:
    """Send images twice, so that every path is warm; return images a second of the second time, up to the last row."""
    for _ in range(2):
        outcomes = _load(served, images=images, connections=_CONNECTIONS)
        ended = served.stack.wait_until_idle(limit=_LIMIT)
    return images / (ended - min(outcome.started for outcome in outcomes))


def throughput(served: Served, *, speed: float, seconds: float) -> list[Figure]:
    """Submit images one a request for about `seconds` at the expected `speed`, until each has its row; check each."""
    images = max(served.generators, min(_MOST_IMAGES, round(speed * seconds)))
    stack, model = served.stack, served.model
    sizes = model_facts.batch_sizes(stack.metrics["predict"], model)
    before, threads = stack.spent(), processors.thread_seconds(stack.roles)
    outcomes = _load(served, images=images, connections=_CONNECTIONS)
    ended = stack.wait_until_idle(limit=_LIMIT)
    after, threads_after = stack.spent(), processors.thread_seconds(stack.roles)
    sizes_after = model_facts.batch_sizes(stack.metrics["predict"], model)
    begun = min(outcome.started for outcome in outcomes)
    use = served.samples.between(begun, ended)
    images = sum(len(outcome.ids) for outcome in outcomes)
    agreeing = _check_rows(served, outcomes)
    cost = processors.milliseconds_each(before, after, jobs=images)
    submitted = max(outcome.ended for outcome in outcomes) - begun
    busiest = processors.busiest_threads(threads, threads_after, seconds=ended - begun)
    found = [
        Figure(
            name=f"{model}: submitted one by one, first request to last row",
            value=images / (ended - begun),
            unit="images/s",
            beside=f"{images:,} images, accepted at {images / submitted:,.0f}/s; every row in Postgres",
            goal=_GOAL_SPEED if served.on_gpu and model == HEADLINE else None,
            detail={"images": images, "accepted_per_second": images / submitted},
        ),
        Figure(
            name=f"{model}:   CPU a job",
            value=sum(cost.values()),
            unit="ms",
            beside=", ".join(f"{role} {written(spent)}" for role, spent in cost.items() if spent >= 0.002)
            + f"; load generators apart {written(_generator_cost(outcomes, images))}",
            detail={"cpu_ms_by_role": cost, "processes": {role: len(pids) for role, pids in stack.roles.items()}},
        ),
        Figure(
            name=f"{model}:   busiest thread",
            value=max(busiest.values()) * 100,
            unit="% of a core",
            beside=", ".join(f"{role} {share:.0%}" for role, share in busiest.items() if share >= 0.02),
            detail={"share_of_a_core_by_role": busiest},
        ),
        Figure(
            name=f"{model}:   images in a micro-batch, mean",
            value=model_facts.mean_batch(sizes, sizes_after),
            unit="",
            beside=", ".join(
                f"{bound} {share:.0%}" for bound, share in model_facts.size_shares(sizes, sizes_after).items()
            ),
            detail={"shares": model_facts.size_shares(sizes, sizes_after)},
        ),
        _agreement(served, agreeing),
    ]
    if use is not None:
        found.insert(
            1,
            Figure(
                name=f"{model}:   GPU busy",
                value=use.busy_percent,
                unit="%",
                beside=f"at most {use.busiest_percent:.0f}%; {use.memory_mebibytes:,.0f} MiB of its memory used",
                detail=asdict(use),
            ),
        )
    return found


def latency(served: Served, *, connections: int, images: int) -> list[Figure]:
    """Send requests with `Prefer: wait`, so many at once; return their median, the 99th percentile beside it."""
    outcomes = _load(served, images=images, connections=connections, wait=True)
    served.stack.wait_until_idle(limit=_LIMIT)
    _check_rows(served, outcomes)
    times = [milliseconds for outcome in outcomes for milliseconds in outcome.milliseconds]
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    seconds = max(outcome.ended for outcome in outcomes) - min(outcome.started for outcome in outcomes)
    how = "one at a time" if connections == 1 else f"{connections} waiting"
    return [
        Figure(
            name=f"{served.model}: submit to result, {how}, p50",
            value=p50,
            unit="ms",
            beside=f"p99 {written(p99)} ms; {len(times) / seconds:,.0f} requests/s",
            goal=_GOAL_P50 if served.on_gpu and served.model == HEADLINE and connections == 1 else None,
            detail={"p50": p50, "p99": p99, "requests": len(times), "requests_per_second": len(times) / seconds},
        )
    ]


def _load(served: Served, *, images: int, connections: int, wait: bool = False) -> list[Outcome]:
    """Run the load generators together; return an outcome each."""
    many = served.generators if connections >= _WAITING else 1
    plan = Plan(
        port=served.stack.port,
        path=f"/v1/predictions?model={served.model}",
        images=str(served.images),
        count=-(-images // many),
        stamp=0,
        accepted=200 if wait else 202,
        connections=min(connections // many, -(-images // many)),
        prefer="wait=60" if wait else "",
        limit=_LIMIT,
    )
    with ExitStack() as children:
        generators = [
            children.enter_context(started(served.bench, replace(plan, stamp=served.bench.stamp())))
            for _ in range(many)
        ]
        for generator in generators:
            generator.wait_until_ready()
        for generator in generators:
            generator.begin()
        return [Outcome.from_file(generator.result(limit=_LIMIT + 30)) for generator in generators]


def _check_rows(served: Served, outcomes: list[Outcome]) -> float:
    """Return the share of images whose row has the expected class. Raises WrongResult where a row is not there."""
    agreeing = total = 0
    for outcome in outcomes:
        rows = served.stack.rows(outcome.ids)
        wrong = [id for id in outcome.ids if id not in rows or rows[id][0] != "succeeded"]
        if wrong:
            raise WrongResult(
                f"{len(wrong)} of {len(outcome.ids)} predictions have no row of success, {wrong[0]} first"
            )
        for number, id in enumerate(outcome.ids):
            agreeing += rows[id][1] == served.classes[number % len(served.classes)]
        total += len(outcome.ids)
    return agreeing / total


def _agreement(served: Served, agreeing: float) -> Figure:
    facts: dict[str, Any] = model_facts.served_how(served.stack.port, served.model)
    return Figure(
        name=f"{served.model}:   rows with the class of Pillow's pixels in fp32",
        value=agreeing * 100,
        unit="%",
        beside="; ".join(f"{name} {value}" for name, value in facts.items() if value is not None),
        detail=facts,
    )


def _generator_cost(outcomes: list[Outcome], images: int) -> float:
    return sum(outcome.processor_seconds for outcome in outcomes) * 1000 / images
