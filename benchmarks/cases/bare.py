"""The practical limit: decode and one forward pass a batch, in a loop, with no service around it.

A process of its own, `python -m benchmarks.cases.bare OUTPUT`, its task on standard input; and the case that runs it.
"""

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.load import children, image_files
from benchmarks.load.children import Child
from benchmarks.stack.model import Measured
from benchmarks.workbench import Subject, Workbench

BATCHES = (8, 16, 64)
"""The loop takes the size that costs it least. 64 is the product's default; mobilenet's forward pass over as many took
8 ms an image instead of 4, since the allocator gave its large blocks back to the system after each batch."""
_PROBE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """How fast the loop was, all its processes together."""

    images_per_second: float
    milliseconds: float
    """Processor time an image."""
    batch: int


def measure(bench: Workbench, subject: Subject, *, processes: int, images: int) -> Loop:
    """Send `images`, each different one at least once, through loops in so many processes; keep what they are."""
    tasks = [
        {"model": str(subject.model), "images": str(subject.images), "first": number, "step": processes}
        | {"count": images // processes}
        for number in range(processes)
    ]
    with ExitStack() as stack:
        loops = [
            stack.enter_context(Child("benchmarks.cases.bare", task=orjson.dumps(task), output=bench.new_file("bare")))
            for task in tasks
        ]
        for loop in loops:
            loop.wait_until_ready()
        for loop in loops:
            loop.begin()
        results = [orjson.loads(loop.result(limit=300).read_bytes()) for loop in loops]
    seconds = max(r["ended"] for r in results) - min(r["started"] for r in results)
    done = sum(r["count"] for r in results)
    classes = dict(pair for r in results for pair in zip(r["numbers"], r["classes"], strict=True))
    bench.classes[subject.name] = [classes[number] for number in sorted(classes)]
    return Loop(
        images_per_second=done / seconds,
        milliseconds=sum(r["processor_seconds"] for r in results) * 1000 / done,
        batch=results[0]["batch"],
    )


def _loop(task: dict[str, Any]) -> dict[str, Any]:
    """Load, warm up, wait for the start, go through the images batch by batch."""
    model = Measured.load(task["model"], threads=1)
    distinct = image_files.read(Path(task["images"]))
    numbers = range(task["first"], task["first"] + task["step"] * task["count"], task["step"])
    images = [distinct[number % len(distinct)] for number in numbers]
    batch = min(BATCHES, key=lambda size: _cost(model, images, batch=size))
    children.ready()
    processor, started = time.process_time(), time.monotonic()
    outputs = [
        output for first in range(0, len(images), batch) for output in model.outputs(images[first : first + batch])
    ]
    ended = time.monotonic()
    return {
        "started": started,
        "ended": ended,
        "processor_seconds": time.process_time() - processor,
        "count": len(outputs),
        "batch": batch,
        # The same images came again and again; what they are is said once.
        "numbers": [number % len(distinct) for number in numbers[: len(distinct)]],
        "classes": [orjson.loads(output)["predicted_class"] for output in outputs[: len(distinct)]],
    }


def _cost(model: Measured, images: list[bytes], *, batch: int) -> float:
    """Return processor seconds an image in batches of this size, once warm."""
    model.outputs(images[:batch])
    started, done = time.process_time(), 0
    while (spent := time.process_time() - started) < _PROBE_SECONDS:
        first = done % max(1, len(images) - batch)
        done += len(model.outputs(images[first : first + batch]))
    return spent / done


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(orjson.dumps(_loop(orjson.loads(children.read_task()))))
