"""What the output of a pipeline must hold by its own words: an answer of every step that its condition asks for."""

from collections.abc import Mapping
from typing import Any

from shared.domain.output_form import task_of_output
from shared.domain.pipeline import MOST_CROPS, PIPELINE, Condition
from shared.domain.task import Task


def wrong_steps(output: Any) -> str:
    """Return what is missing in the output of a prediction whose variant is a pipeline; '' where nothing is."""
    try:
        return _wrong(output)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError):
        return "its output has not the form of a pipeline's"


def _wrong(output: Mapping[str, Any]) -> str:
    first, *rest = output[PIPELINE]["steps"]
    if not first["models"]:
        return "its first step asked no model"
    degraded = output[PIPELINE]["degraded"]
    later = (one for step in rest for result in step["results"] for one in result.get("models", ()))
    for said in (*first["models"], *later):
        if "error" in said and not degraded:
            return f"{said['model']} has no output, and it is not called degraded"
    if not rest:
        return ""
    (then,) = rest
    wanted, found = _wanted(first.get("output", output), then), len(then["results"])
    return "" if found == wanted else f"its condition asks for {wanted} answers of the second step, and it has {found}"


def _wanted(output: Mapping[str, Any], then: Mapping[str, Any]) -> int:
    """Return how many pictures go on to the second step."""
    when = Condition.read(then["when"])
    task = task_of_output(output)
    if task is Task.DETECTION:
        met = sum(when.admits(one["label"], one["score"]) for one in output["detections"])
        return min(met, MOST_CROPS) if then["crop"] else int(met > 0)
    if task is Task.CLASSIFICATION:
        return int(when.admits(output["predicted_class"], output.get("confidence")))
    if when == Condition():
        return 1
    if task is Task.MULTILABEL:
        scores = output["scores"]
        return int(any(when.admits(one, scores.get(one)) for one in output["predicted_classes"]))
    if task is Task.SEGMENTATION:
        return int(any(when.admits(one["label"], one["share"]) for one in output["classes"]))
    return 0
