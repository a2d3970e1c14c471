"""BentoML: a service with a worker a core and adaptive batching.

https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html
"""

from pathlib import Path
from typing import Any

import bentoml

from benchmarks.peers.systems.given import Given, answer

given = Given.from_environment()


@bentoml.service(workers=given.processes, traffic={"timeout": 60, "max_concurrency": 256})
class Inference:
    """Takes files of a form."""

    def __init__(self) -> None:
        """Load the model, once a worker."""
        self.model = given.load()

    @bentoml.api(batchable=True, max_batch_size=given.batch, max_latency_ms=60_000)
    def predict(self, image: list[Path]) -> list[dict[str, Any]]:
        """Predict a batch."""
        return [answer(prediction) for prediction in self.model.predict([path.read_bytes() for path in image])]
