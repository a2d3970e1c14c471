"""Tells the task of an output by its members: what Redis and Postgres hold of a prediction does not name it."""

from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from shared.domain.pipeline import PIPELINE
from shared.domain.task import Task

_MEMBERS: Final[Mapping[frozenset[str], tuple[Task, str, type]]] = {
    frozenset({"predicted_classes", "scores"}): (Task.MULTILABEL, "scores", dict),
    frozenset({"values"}): (Task.REGRESSION, "values", dict),
    frozenset({"values", "units"}): (Task.REGRESSION, "values", dict),
    frozenset({"dimensions", "embedding"}): (Task.EMBEDDING, "embedding", list),
    frozenset({"dimensions", "embedding_base64"}): (Task.EMBEDDING, "embedding_base64", str),
    frozenset({"detections"}): (Task.DETECTION, "detections", list),
    frozenset({"width", "height", "mask", "classes"}): (Task.SEGMENTATION, "classes", list),
    frozenset({"width", "height", "mask_url", "classes"}): (Task.SEGMENTATION, "classes", list),
}
"""The members that an output has, with its task and the type of the member that matters most."""

_BESIDE: Final = frozenset({PIPELINE})


def task_of_output(output: Any) -> Task:
    """Return the task whose outputs have this form; `json` for any other.

    A model of the task `json` may give an object of another task's form; then it is shown and listed as that task's.
    """
    if not isinstance(output, dict):
        return Task.JSON
    if isinstance(output.get("predicted_class"), str):
        return Task.CLASSIFICATION
    # Beside the result a pipeline's output has what each of its steps answered.
    task, member, kind = _MEMBERS.get(frozenset(output) - _BESIDE, (Task.JSON, "", object))
    if not isinstance(output.get(member), kind):
        return Task.JSON
    numbers = {Task.MULTILABEL: "scores", Task.REGRESSION: "values"}.get(task)
    return task if numbers is None or are_numbers(output[numbers]) else Task.JSON


def are_numbers(members: Any) -> TypeGuard[dict[str, float]]:
    """Tell whether it is an object all of whose members are numbers."""
    return isinstance(members, dict) and all(type(value) in (int, float) for value in members.values())
