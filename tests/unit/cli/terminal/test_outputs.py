"""An output is shown in one line, whatever its task."""

from typing import Any

import pytest

from cli.terminal.outputs import output_line
from shared.domain.task import Task
from tests.support.outputs import OUTPUTS

EXPECTED = {
    Task.CLASSIFICATION: "cat  0.750",
    Task.MULTILABEL: "dog 0.750, cat 0.500",
    Task.REGRESSION: "height 2, age -3.5 years",
    Task.EMBEDDING: "3 dimensions",
    Task.DETECTION: "cat 0.500, a; dog 0.250",
    Task.SEGMENTATION: "8x9  dog 25.0%",
    Task.JSON: '{"text": "=1+1", "lines": [{"at": [1, 2]}], "seen": null}',
}


@pytest.mark.parametrize("task", Task)
def test_each_task_has_its_own_line(task: Task) -> None:
    assert output_line(OUTPUTS[task]) == EXPECTED[task]


def test_nothing_found_is_said() -> None:
    assert output_line({"detections": []}) == output_line({"predicted_classes": [], "scores": {}}) == "none"


def test_of_many_boxes_the_first_are_named_and_the_others_counted() -> None:
    boxes = [{"label": str(number), "score": 0.5, "box": [0, 0, 1, 1]} for number in range(100)]
    assert output_line({"detections": boxes}) == "0 0.500, 1 0.500, 2 0.500, 3 0.500, 4 0.500, and 95 more"


@pytest.mark.parametrize(
    "output",
    [{"detections": [{}]}, {"predicted_class": "7"}, {"predicted_class": "7", "confidence": "much"},
     {"values": {"a": 1}, "units": 3}],
    ids=str,
)  # fmt: skip
def test_an_object_that_only_resembles_an_output_is_shown_as_json(output: Any) -> None:
    assert output_line(output).startswith("{")


def test_a_long_object_is_cut() -> None:
    assert len(output_line({"text": "x" * 1_000_000})) < 250


def test_what_a_chain_says_of_a_box_is_behind_it() -> None:
    boxes = [{"label": label, "score": 0.5, "box": [0, 0, 1, 1]} for label in ("zero", "two", "one")]
    results = [
        {"detection": 1, "output": {"predicted_class": "cat", "confidence": 0.25, "probabilities": {}}},
        {"detection": 2, "error": "ValueError: too small", "error_code": "model_error"},
    ]
    pipeline = {"steps": [{"models": []}, {"crop": True, "results": results}], "degraded": False}
    expected = "zero 0.500, two 0.500 > cat 0.250, one 0.500 > model_error"
    assert output_line({"detections": boxes, "pipeline": pipeline}) == expected
