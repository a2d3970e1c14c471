"""The practical limit: loops that decode and predict with no service around them, run in processes of their own.

They share no code with the worker: what that wastes does not make the limit lower.
"""

from contextlib import ExitStack
from dataclasses import dataclass

import orjson

from benchmarks.load.children import Child
from benchmarks.stack.decoders import PILLOW
from benchmarks.workbench import Subject, Workbench


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """The speed of the loop, all its processes together."""

    images_per_second: float
    milliseconds: float
    """Processor time an image."""
    batch: int


def measure(bench: Workbench, subject: Subject, *, processes: int, images: int, decoder: str = PILLOW) -> Loop:
    """Predict `images`, each different one at least once, in `processes` loops; keep each image's class by Pillow."""
    tasks = [
        {"model": str(subject.model), "images": str(subject.images), "first": number, "step": processes}
        | {"count": images // processes, "decoder": decoder}
        for number in range(processes)
    ]
    with ExitStack() as stack:
        loops = [
            stack.enter_context(
                Child("benchmarks.stack.bare_loop", task=orjson.dumps(task), output=bench.new_file("bare"))
            )
            for task in tasks
        ]
        for loop in loops:
            loop.wait_until_ready()
        for loop in loops:
            loop.begin()
        results = [orjson.loads(loop.result(limit=300).read_bytes()) for loop in loops]
    seconds = max(r["ended"] for r in results) - min(r["started"] for r in results)
    done = sum(r["count"] for r in results)
    if decoder == PILLOW:
        classes = dict(pair for r in results for pair in zip(r["numbers"], r["classes"], strict=True))
        bench.classes[subject.name] = [classes[number] for number in sorted(classes)]
    return Loop(
        images_per_second=done / seconds,
        milliseconds=sum(r["processor_seconds"] for r in results) * 1000 / done,
        batch=results[0]["batch"],
    )
