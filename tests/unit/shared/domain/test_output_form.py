"""The task of an output is told by its members."""

from typing import Any

import pytest

from shared.domain.output_form import task_of_output
from shared.domain.task import Task
from tests.support.outputs import OUTPUTS


@pytest.mark.parametrize("task", OUTPUTS)
def test_each_tasks_output_is_told_from_the_others(task: Task) -> None:
    assert task_of_output(OUTPUTS[task]) is task


@pytest.mark.parametrize(
    "output",
    [
        None, [], "7", 7, {},
        {"predicted_class": 7},
        {"values": [1, 2]}, {"values": {"age": "old"}}, {"values": {"age": True}},
        {"values": {"age": 1}, "more": 1},
        {"detections": 3},
        {"predicted_classes": ["cat"], "scores": {"cat": None}},
    ],
    ids=str,
)  # fmt: skip
def test_what_only_resembles_another_tasks_output_is_json(output: Any) -> None:
    assert task_of_output(output) is Task.JSON
