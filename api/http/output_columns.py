"""The columns of CSV that hold outputs: which there are for a task, and an output's cells in them.

One file has the columns of one output, that of its first image that succeeded: a stream's header is written before its
rows are read. An output of another form, as of a challenger with another task, leaves them empty.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared.domain.output_form import are_numbers, task_of_output
from shared.domain.task import Task
from shared.presentation.spreadsheets import safe_cell

VALUE: Final = "values."
"""Before a regression's names, which might be those of other columns: as pandas' json_normalize names them."""

Cells = Callable[[Mapping[str, Any]], tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class OutputColumns:
    """Names of columns, and the function that gives an output's cells in them; an output is a JSON object."""

    names: tuple[str, ...]
    cells: Cells

    @property
    def empty(self) -> tuple[None, ...]:
        """The cells of an image without output."""
        return (None,) * len(self.names)


def _classification(output: Mapping[str, Any]) -> tuple[object, ...]:
    return _text(output.get("predicted_class")), output.get("confidence")


def _multilabel(output: Mapping[str, Any]) -> tuple[object, ...]:
    classes, scores = output.get("predicted_classes"), output.get("scores")
    return (
        safe_cell("|".join(map(str, classes))) if isinstance(classes, list) else None,
        None if scores is None else _json(scores),
    )


def _whole(output: Mapping[str, Any]) -> tuple[object, ...]:
    return (_json(output),)


CLASSIFICATION: Final = OutputColumns(("predicted_class", "confidence"), _classification)
"""Also the columns of a file without any output."""
MULTILABEL: Final = OutputColumns(("predicted_classes", "scores"), _multilabel)
WHOLE: Final = OutputColumns(("output",), _whole)
"""The whole output as JSON: of embeddings, detections, masks, JSON objects, and of several tasks in one file."""


def output_columns(output: Any) -> OutputColumns:
    """Return the columns of outputs like this one; None stands for no output at all."""
    task = Task.CLASSIFICATION if output is None else task_of_output(output)
    if task is Task.REGRESSION:
        return _values(tuple(output["values"]))
    return {Task.CLASSIFICATION: CLASSIFICATION, Task.MULTILABEL: MULTILABEL}.get(task, WHOLE)


def _values(names: tuple[str, ...]) -> OutputColumns:
    """Return a column for each of a regression's values."""

    def cells(output: Mapping[str, Any]) -> tuple[object, ...]:
        values = output.get("values")
        return tuple(values.get(name) for name in names) if are_numbers(values) else (None,) * len(names)

    return OutputColumns(tuple(safe_cell(VALUE + name) for name in names), cells)


def _text(value: object) -> object:
    return safe_cell(value) if isinstance(value, str) else value


def _json(value: Any) -> str:
    """Return JSON that no spreadsheet takes for a formula: `;` begins another cell for some, so it is escaped."""
    return orjson.dumps(value).decode().replace(";", "\\u003b")
