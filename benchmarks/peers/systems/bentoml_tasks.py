"""BentoML: a service whose images are tasks, of which state and result are asked for.

https://docs.bentoml.com/en/latest/get-started/async-task-queues.html. One process: those of two share a file of SQLite,
and with 4 clients already it answers 500, "database is locked".
"""

from pathlib import Path
from typing import Any

import bentoml

from benchmarks.peers.systems.given import Given, answer

given = Given.from_environment()


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 256})
class Inference:
    """Takes files of a form."""

    def __init__(self) -> None:
        """Load the model, once a worker."""
        self.model = given.load()

    @bentoml.task(batchable=True, max_batch_size=given.batch, max_latency_ms=60_000)
    def predict(self, image: list[Path]) -> list[dict[str, Any]]:
        """Predict a batch of tasks."""
        return [answer(prediction) for prediction in self.model.predict([path.read_bytes() for path in image])]
