"""An output in one line, for a terminal: the answer itself, and of a long one its beginning or its size."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from shared.domain.output_form import task_of_output
from shared.domain.task import Task
from shared.domain.written_numbers import written

MOST_NAMED: Final = 5
"""Classes, values or boxes that are named; of more, the others are counted."""
LONGEST_JSON: Final = 200
"""Characters of an output that is shown as it is."""


def output_line(output: Any) -> str:
    """Return what a prediction's output says."""
    try:
        return _LINES[task_of_output(output)](output)
    except (KeyError, TypeError, ValueError, AttributeError):  # of an object that only resembles another task's output
        return _json(output)


def _classification(output: Any) -> str:
    return f"{output['predicted_class']}  {output['confidence']:.3f}"


def _multilabel(output: Any) -> str:
    return _joined([f"{name} {output['scores'].get(name, 0):.3f}" for name in output["predicted_classes"]])


def _regression(output: Any) -> str:
    units = output.get("units", {})
    # Commas stand between the values.
    numbers = {name: written(value).replace(",", "") for name, value in output["values"].items()}
    return _joined([f"{name} {number} {units.get(name, '')}".rstrip() for name, number in numbers.items()])


def _embedding(output: Any) -> str:
    return f"{output['dimensions']} dimensions"


def _detection(output: Any) -> str:
    crops = _crops(output.get("pipeline"))
    found = [f"{one['label']} {one['score']:.3f}" for one in output["detections"]]
    return _joined([f"{one} > {crops[number]}" if number in crops else one for number, one in enumerate(found)])


def _crops(pipeline: Any) -> dict[int, str]:
    """Return what the second step of a chain says of each box that went on, by the box' place."""
    results = [
        one for step in (pipeline or {}).get("steps", ()) for one in step.get("results", ()) if "detection" in one
    ]
    return {one["detection"]: one.get("error_code") or output_line(one["output"]).replace("  ", " ") for one in results}


def _segmentation(output: Any) -> str:
    shares = [f"{one['label']} {one['share']:.1%}" for one in output["classes"]]
    return f"{output['width']}x{output['height']}  {_joined(shares)}"


def _joined(parts: list[str]) -> str:
    if not parts:
        return "none"
    more = f", and {len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
    return ", ".join(parts[:MOST_NAMED]) + more


def _json(output: Any) -> str:
    text = json.dumps(output)
    return text if len(text) <= LONGEST_JSON else f"{text[:LONGEST_JSON]}…"


_LINES: Final[Mapping[Task, Callable[[Any], str]]] = {
    Task.CLASSIFICATION: _classification,
    Task.MULTILABEL: _multilabel,
    Task.REGRESSION: _regression,
    Task.EMBEDDING: _embedding,
    Task.DETECTION: _detection,
    Task.SEGMENTATION: _segmentation,
    Task.JSON: _json,
}
