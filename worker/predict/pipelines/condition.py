"""Whether a chain's second step is asked, and about what: the picture, or the crops of the boxes that count."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.domain.output_form import task_of_output
from shared.domain.pipeline import MOST_CROPS, Condition
from shared.domain.pipeline_plan import PlannedThen
from shared.domain.task import Task
from worker.models.errors import ModelError

Box = tuple[int, int, int, int]
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Selection:
    """What goes on to the second step: the picture (`detection` is None), or a detection's crop in whole pixels."""

    detection: int | None = None
    crop: Box | None = None


def select(then: PlannedThen, output: Mapping[str, Any], *, size: Size) -> tuple[list[Selection], int]:
    """Return what goes on, of a picture of this width and height, and how many crops over MOST_CROPS were left out.

    Raises ModelError where the first step's outputs have no classes for the condition, or no boxes to crop.
    """
    task = task_of_output(output)
    if task is Task.DETECTION:
        boxes = [
            (place, one["box"])
            for place, one in enumerate(output["detections"])
            if then.when.admits(one["label"], one["score"])
        ]
        if not then.crop:
            return [Selection()] if boxes else [], 0
        crops = [Selection(place, whole_pixels(box, size)) for place, box in boxes[:MOST_CROPS]]
        return crops, len(boxes) - len(crops)
    if then.crop:
        raise ModelError(f"only a detector's boxes can be cropped, and this is the output of the task {task}")
    return [Selection()] if is_met(then.when, task, output) else [], 0


def is_met(when: Condition, task: Task, output: Mapping[str, Any]) -> bool:
    """Tell whether an output other than a detection meets a condition; raises ModelError where it has no classes."""
    if when == Condition():
        return True
    match task:
        case Task.CLASSIFICATION:
            return when.admits(output["predicted_class"], output.get("confidence"))
        case Task.MULTILABEL:
            scores = output["scores"]
            return any(when.admits(name, scores.get(name)) for name in output["predicted_classes"])
        case Task.SEGMENTATION:
            return any(when.admits(one["label"], one["share"]) for one in output["classes"])
    raise ModelError(f"an output of the task {task} has no classes that a condition could be about")


def whole_pixels(box: Sequence[float], size: Size) -> Box:
    """Return the whole pixels that a box touches, at least one, within the picture."""
    (x0, x1), (y0, y1) = (_range(box[side], box[side + 2], size[side]) for side in (0, 1))
    return x0, y0, x1, y1


def _range(low: float, high: float, length: int) -> tuple[int, int]:
    first = min(max(math.floor(low), 0), length - 1)
    return first, min(max(math.ceil(high), first + 1), length)
