"""The schema of a version's outputs takes the outputs of its task, and no others."""

from typing import Any

import pytest
from jsonschema_rs import Draft4Validator

from shared.domain.output_schema import output_schema
from shared.domain.task import Task
from tests.support.outputs import OUTPUTS

LABELS = ["cat", "dog", "cat", "a bird", "a; dog"]
OPTIONS: dict[str, Any] = {"values": {"age": "years", "height": None}, "dimensions": 3, "max_detections": 2}


@pytest.mark.parametrize("known", [{}, {"labels": LABELS, "options": OPTIONS}], ids=["unknown", "known"])
@pytest.mark.parametrize("task", Task)
def test_a_schema_takes_the_outputs_of_its_task_and_no_others(task: Task, known: dict[str, Any]) -> None:
    schema = output_schema(task, **known)
    for of, output in OUTPUTS.items():
        assert Draft4Validator(schema).is_valid(output) == (of == task or task is Task.JSON)


def test_labels_with_the_same_word_are_listed_once() -> None:
    label = output_schema(Task.CLASSIFICATION, labels=LABELS)["properties"]["predicted_class"]
    assert label["enum"] == ["cat", "dog", "a bird", "a; dog"]


def test_scores_that_are_no_probabilities_have_no_bounds() -> None:
    schema = output_schema(Task.CLASSIFICATION, options={"activation": "none"})
    assert Draft4Validator(schema).is_valid(OUTPUTS[Task.CLASSIFICATION] | {"confidence": 17.5})


def test_an_embedding_in_base64_is_described_as_such() -> None:
    schema = output_schema(Task.EMBEDDING, options={"dimensions": 2, "encoding": "base64"})
    assert Draft4Validator(schema).is_valid({"dimensions": 2, "embedding_base64": "AAAAAAAAAAA="})
    assert not Draft4Validator(schema).is_valid({"dimensions": 2, "embedding": [0, 0]})


def test_a_value_shows_its_unit() -> None:
    values = output_schema(Task.REGRESSION, options={"values": {"age": "years"}})["properties"]["values"]
    assert values["properties"]["age"] == {"type": "number", "x-unit": "years"}
    assert values["required"] == ["age"]
