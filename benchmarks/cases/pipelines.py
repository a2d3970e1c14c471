"""What a pipeline costs: one model, an ensemble of two and a chain of a detector and a classifier, in turns.

The ensemble's second model has the first one's files under another name. The chain's detector finds one box, the whole
image, so the classifier gets the image as its crop. All have to answer with the bare loop's class.
"""

import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import httpx

from benchmarks.measuring.generator import generate
from benchmarks.measuring.predictions import Run, Throughput, measure_run, median_run, plan_predictions
from benchmarks.stack import servers
from benchmarks.stack.darkroom import Stack
from benchmarks.stack.preparation import run_registering
from benchmarks.stack.promotion import Promotions
from benchmarks.workbench import DIGITS, Subject, Workbench

OTHER: Final = "digits-too"
BOXES: Final = "boxes"
ONE, ENSEMBLE, CHAIN = "one model", "an ensemble of two", "a detector, then a classifier"
_QUERIES: Final = {
    ONE: urlencode({"model": DIGITS}),
    ENSEMBLE: urlencode({"models": f"{DIGITS},{OTHER}"}),
    CHAIN: urlencode({"model": BOXES, "then": json.dumps({"model": DIGITS, "crop": True})}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piped:
    """Throughput and cost of each kind."""

    kinds: dict[str, Throughput]


def measure(bench: Workbench, stack: Stack, subject: Subject) -> Piped:
    """Take turns, one model first; every row is checked."""
    promotions = Promotions(stack)
    try:
        promotions.register_as([OTHER])
    finally:
        promotions.close()
    run_registering("benchmarks.stack.whole_boxes", registry=stack.registry)
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.port}", timeout=30) as client:

        def are_served() -> bool:
            return all(client.get(f"/v1/models/{name}").is_success for name in (DIGITS, OTHER, BOXES))

        servers.wait_until(are_served, limit=120, pause=0.5, what="all models served")
    images = bench.amounts.digits // 4
    runs: dict[str, list[Run]] = {kind: [] for kind in _QUERIES}
    for query in _QUERIES.values():
        generate(bench, plan_predictions(bench, stack, subject, images=images // 10, query=query))
        stack.wait_until_idle(limit=60)
    for _ in range(bench.amounts.repeats):
        for kind, query in _QUERIES.items():
            runs[kind].append(measure_run(bench, stack, subject, images=images, query=query))
            bench.say(f"  {kind}: {sum(runs[kind][-1].milliseconds.values()):.3f} ms CPU a job")
    return Piped(kinds={kind: median_run(of_it) for kind, of_it in runs.items()})
