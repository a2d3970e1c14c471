"""The bare loop: decode and one forward pass a batch, with no service around it.

A process of its own: `python -m benchmarks.stack.bare_loop OUTPUT`, its task on standard input.
"""

import sys
import time
from pathlib import Path
from typing import Any

import orjson

from benchmarks.load import children, image_files
from benchmarks.stack.model import Measured

BATCHES = (8, 16, 64)
"""The loop takes the size that costs it least. 64 is the product's default; mobilenet's forward pass over as many took
8 ms an image instead of 4, since the allocator gave its large blocks back to the system after each batch."""
_PROBE_SECONDS = 0.5


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
