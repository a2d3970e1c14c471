"""Runs the load generator with a plan, in a process of its own."""

from benchmarks.load.children import Child
from benchmarks.load.plan import Outcome, Plan
from benchmarks.workbench import Workbench


def generate(bench: Workbench, plan: Plan) -> Outcome:
    """Run the generator with a plan; return its outcome."""
    with started(bench, plan) as generator:
        return finished(generator.wait_until_ready(), plan)


def started(bench: Workbench, plan: Plan) -> Child:
    """Start a generator; it renders its requests and waits."""
    return Child("benchmarks.load.generator", task=plan.as_json(), output=bench.new_file("load"))


def finished(generator: Child, plan: Plan) -> Outcome:
    """Let a prepared generator run; return its outcome."""
    generator.begin()
    return Outcome.from_file(generator.result(limit=plan.limit + 30))
