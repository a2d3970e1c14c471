"""Whether two versions of a model answered the same to one image, for the tasks where that has a meaning."""

from typing import Any

from shared.domain.output_form import task_of_output
from shared.domain.task import Task


def outputs_agree(first: Any, second: Any) -> bool | None:
    """Return whether two outputs, as objects, name the same class, the same classes, or are the same JSON.

    None where they can't be compared: outputs of two tasks, or of one whose numbers differ between any two versions
    (regression, embedding, boxes, masks).
    """
    task = task_of_output(first)
    if task is not task_of_output(second):
        return None
    if task is Task.CLASSIFICATION:
        return bool(first["predicted_class"] == second["predicted_class"])
    if task is Task.MULTILABEL:
        return set(first["predicted_classes"]) == set(second["predicted_classes"])
    return bool(first == second) if task is Task.JSON else None
