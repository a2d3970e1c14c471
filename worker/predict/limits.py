"""What a micro-batch and a task may take, by the settings."""

from dataclasses import dataclass
from datetime import timedelta

from shared.settings import Batching
from worker.models.registry.serving_tags import Tuning


@dataclass(frozen=True, slots=True)
class Limits:
    """What a micro-batch and a task may take."""

    batching: Batching
    max_pixels: int
    turn: timedelta
    """How long a task goes on pulling micro-batches."""
    longest: timedelta = timedelta(seconds=120)
    """How long a micro-batch may take."""
    longest_load: timedelta = timedelta(minutes=10)
    """How long images wait, leased, for their version to be loaded."""

    def tuning(self) -> Tuning:
        """Return how micro-batches are formed where no tag of the model says otherwise."""
        batching = self.batching
        return Tuning(
            max_batch_size=batching.max_batch_size,
            max_wait=batching.max_wait,
            beside_people=batching.beside_people,
            timeout=self.longest,
        )
