"""The bare loop: decode and one forward pass a batch, with no service around it and nothing of Darkroom in it.

A process of its own: `python -m benchmarks.stack.bare_loop OUTPUT`, its task on standard input. It computes in one
thread, with a process a core: on two busy cores two such loops did 155 to 199 mobilenet images a second in three turns,
one loop with two threads 41 to 62, at three times the processor time.
"""

import sys
import time
from pathlib import Path
from typing import Any

import orjson

from benchmarks.load import children, image_files
from benchmarks.stack.independent_model import IndependentModel

BATCHES = (8, 16, 32, 64)
"""The loop takes the size that costs it least."""
_PROBE_SECONDS = 0.5


def _loop(task: dict[str, Any]) -> dict[str, Any]:
    """Load, warm up, wait for the start, go through the images batch by batch."""
    model = IndependentModel.load(task["model"], decoder=task["decoder"], threads=task.get("threads", 1))
    distinct = image_files.read(Path(task["images"]))
    numbers = range(task["first"], task["first"] + task["step"] * task["count"], task["step"])
    images = [distinct[number % len(distinct)] for number in numbers]
    batch = min(BATCHES, key=lambda size: _cost(model, images, batch=size))
    children.ready()
    processor, started = time.process_time(), time.monotonic()
    outputs = [
        output for first in range(0, len(images), batch) for output in model.predict(images[first : first + batch])
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
        "classes": [output.predicted_class for output in outputs[: len(distinct)]],
    }


def _cost(model: IndependentModel, images: list[bytes], *, batch: int) -> float:
    """Return processor seconds an image in batches of this size, once warm."""
    model.predict(images[:batch])
    started, done = time.process_time(), 0
    while (spent := time.process_time() - started) < _PROBE_SECONDS:
        first = done % max(1, len(images) - batch)
        done += len(model.predict(images[first : first + batch]))
    return spent / done


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(orjson.dumps(_loop(orjson.loads(children.read_task()))))
