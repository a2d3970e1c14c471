"""How micro-batches are formed where no tag says otherwise."""

from datetime import timedelta

from shared.settings import Batching
from worker.models.registry.serving_tags import Tuning
from worker.predict.limits import Limits


def usual_tuning(max_batch_size: int) -> Tuning:
    """The settings' defaults, but for the number of images."""
    return Limits(Batching(max_batch_size=max_batch_size), 1_000_000, timedelta(0)).tuning()
