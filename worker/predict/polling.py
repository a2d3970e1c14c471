"""Predicting although no bell came: a bell may be lost, and entries of a worker that died ring none."""

from collections.abc import Callable, Sequence

from worker.predict.predictor import Predictor
from worker.predict.slots import BatchSlots


def poll_lanes(predictors: Sequence[Predictor], *, slots: BatchSlots, stopped: Callable[[], bool]) -> None:
    """Predict what waits in each model's lanes, one task after another while there are images.

    Leaves off as soon as a bell's thread is at work: that one goes on, and two would only wait for each other.
    """
    for predictor in predictors:
        while not slots.busy and not stopped():
            if not predictor.poll()["images"]:
                break
