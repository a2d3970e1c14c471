"""Whether a job costs more when many wait before it: processor time a job at two depths, and Redis' memory."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.measuring.generator import finished, generate, started
from benchmarks.measuring.predictions import plan_predictions
from benchmarks.stack import servers
from benchmarks.stack.darkroom import Stack
from benchmarks.stack.processors import milliseconds_each, resident_mebibytes
from benchmarks.workbench import Subject, Workbench, WrongResult

SHALLOW = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """At one depth: processor milliseconds a job over all roles, and Redis' memory with all of them waiting.

    `submit` is for taking one more in, `drain` for computing and recording one that waits. `rewrites`: how often Redis
    began to rewrite its append-only file meanwhile, which costs as much as thousands of jobs.
    """

    depth: int
    submit: float
    drain: float
    memory_mebibytes: float
    rewrites: int
    resident_mebibytes: dict[str, float]
    """Of the other roles, likewise."""

    @property
    def total(self) -> float:
        """Processor time a job from submit to row."""
        return self.submit + self.drain


def measure(bench: Workbench, stack: Stack, subject: Subject, *, depth: int, jobs: int) -> Cost:
    """Let `depth` jobs wait with the predict workers stopped, submit `jobs` more, then let as many be computed."""
    rows = stack.count_rows()
    with stack.workers_stopped():
        generate(bench, plan_predictions(bench, stack, subject, images=depth))
        stack.wait_until_rewritten(limit=120)
        rewrites = stack.rewrites()
        submitted = submit(bench, stack, subject, jobs=jobs)
        if stack.depth() != depth + jobs:
            raise WrongResult(f"{stack.depth()} entries wait where {depth + jobs} were submitted")
        memory = stack.memory_mebibytes()
        resident = {role: resident_mebibytes(stack.roles[role]) for role in ("api", "predict", "record")}
        stack.wait_until_rewritten(limit=120)
        before = stack.spent()
    drained = drain(stack, before=before, rows=rows, until=depth)
    rewrites = stack.rewrites() - rewrites
    stack.wait_until_idle(limit=180)
    recorded = stack.count_rows() - rows
    if recorded != depth + jobs:
        raise WrongResult(f"{depth + jobs} predictions were accepted, {recorded} have a row")
    return Cost(
        depth=depth,
        submit=sum(submitted.values()),
        drain=sum(drained.values()),
        memory_mebibytes=memory,
        rewrites=rewrites,
        resident_mebibytes=resident,
    )


def submit(bench: Workbench, stack: Stack, subject: Subject, *, jobs: int) -> dict[str, float]:
    """Return processor milliseconds a job and role for submitting `jobs` more."""
    load = plan_predictions(bench, stack, subject, images=jobs)
    with started(bench, load) as generator:
        generator.wait_until_ready()
        before = stack.spent()
        finished(generator, load)
        return milliseconds_each(before, stack.spent(), jobs=jobs)


def drain(stack: Stack, *, before: Mapping[str, float], rows: int, until: int) -> dict[str, float]:
    """Return processor milliseconds a job and role while the workers bring the lane down to `until`, rows included.

    The workers have just been let go; they are stopped again at the end, so that only whole jobs count.
    """
    servers.wait_until(lambda: stack.depth() <= until, limit=60, pause=0.005, what=f"a depth of {until}")
    with stack.workers_stopped():
        stack.wait_until_recorded(limit=30)
        after = stack.spent()
        jobs = stack.count_rows() - rows
    return milliseconds_each(before, after, jobs=jobs)
