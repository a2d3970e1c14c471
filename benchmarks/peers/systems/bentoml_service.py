"""BentoML: a service with a worker a core and adaptive batching, and one whose images are tasks.

https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html,
https://docs.bentoml.com/en/latest/get-started/async-task-queues.html
"""

from pathlib import Path
from typing import Any

import bentoml

from benchmarks.peers.systems.given import Given, answer

given = Given.from_environment()
TRAFFIC = {"timeout": 60, "max_concurrency": 256}
BATCHES: dict[str, Any] = {"batchable": True, "max_batch_size": given.batch, "max_latency_ms": 60_000}


class Model:
    """Takes files of a form."""

    def __init__(self) -> None:
        """Load the model, once a worker."""
        self.model = given.load()

    def answers(self, images: list[Path]) -> list[dict[str, Any]]:
        """Predict a batch."""
        return [answer(prediction) for prediction in self.model.predict([path.read_bytes() for path in images])]


@bentoml.service(workers=given.processes, traffic=TRAFFIC)
class Inference(Model):
    """Answers with the class."""

    @bentoml.api(**BATCHES)
    def predict(self, image: list[Path]) -> list[dict[str, Any]]:
        """Predict a batch."""
        return self.answers(image)


# One process: those of two share a file of SQLite, and with 4 clients already it answers 500, "database is locked".
@bentoml.service(workers=1, traffic=TRAFFIC)
class Tasks(Model):
    """Answers with a task's id, whose state and result are asked for."""

    @bentoml.task(**BATCHES)
    def predict(self, image: list[Path]) -> list[dict[str, Any]]:
        """Predict a batch of tasks."""
        return self.answers(image)
