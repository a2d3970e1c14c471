"""What a system is given by the benchmark that starts it."""

import os
from dataclasses import dataclass
from typing import Any

from benchmarks.stack.independent_model import IndependentModel, Prediction

REDIS = "PEER_REDIS"
"""Where a system that needs a Redis finds it, without the number of a database."""
MODEL, PORT, BATCH, PROCESSES, WAIT = "PEER_MODEL", "PEER_PORT", "PEER_BATCH", "PEER_PROCESSES", "PEER_WAIT_MS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Where the model is, the port to listen on, the largest batch, how many processes compute, the longest wait."""

    model: str
    port: int
    batch: int
    processes: int
    wait_ms: int

    @classmethod
    def from_environment(cls) -> "Given":
        """Read it."""
        return cls(
            model=os.environ[MODEL],
            port=int(os.environ[PORT]),
            batch=int(os.environ[BATCH]),
            processes=int(os.environ[PROCESSES]),
            wait_ms=int(os.environ[WAIT]),
        )

    def environment(self) -> dict[str, str]:
        """Write it."""
        values = (self.model, self.port, self.batch, self.processes, self.wait_ms)
        return dict(zip((MODEL, PORT, BATCH, PROCESSES, WAIT), map(str, values), strict=True))

    def load(self) -> IndependentModel:
        """Load the model, one thread a forward pass."""
        return IndependentModel.load(self.model)


def answer(prediction: Prediction) -> dict[str, Any]:
    """Return what a client gets; `id` is there since the load generator reads one."""
    return {"id": "-", "predicted_class": prediction.predicted_class, "confidence": prediction.confidence}
