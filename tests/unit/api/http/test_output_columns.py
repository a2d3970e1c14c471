"""The columns of CSV follow the task of the outputs."""

import csv
import io
from typing import Any

import orjson
import pytest

from api.http.output_columns import CLASSIFICATION, WHOLE, output_columns
from api.http.result_formats import as_csv, csv_header
from shared.domain.identifiers import PredictionId, new_uuid7
from shared.domain.task import Task
from shared.storage.batches import ItemRow
from tests.support.outputs import OUTPUTS

BASE = "http://darkroom.test"
EXPECTED = {
    Task.CLASSIFICATION: {"predicted_class": "cat", "confidence": "0.75"},
    Task.MULTILABEL: {"predicted_classes": "dog|cat", "scores": '{"dog":0.75,"cat":0.5,"a bird":0.25}'},
    Task.REGRESSION: {"values.height": "2", "values.age": "-3.5"},
}


def row(output: Any) -> ItemRow:
    return ItemRow(
        id=PredictionId(new_uuid7()), custom_id="7.png", status="succeeded" if output else "failed", version="3",
        source="model", output=output, error=None, error_code=None,
    )  # fmt: skip


def written(first: Any, *outputs: Any) -> list[dict[str, str]]:
    """The cells of outputs, read by a CSV reader from a file whose columns are those of the first."""
    columns = output_columns(first)
    text = (
        csv_header(columns=columns) + as_csv([row(one) for one in outputs], base_url=BASE, columns=columns)
    ).decode()
    found = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    return [{name: cell for name, cell in one.items() if name in columns.names} for one in found]


@pytest.mark.parametrize("task", EXPECTED)
def test_an_output_of_classes_or_numbers_has_a_column_each(task: Task) -> None:
    assert written(OUTPUTS[task], OUTPUTS[task]) == [EXPECTED[task]]


@pytest.mark.parametrize("task", [task for task in Task if task not in EXPECTED])
def test_any_other_output_is_one_column_of_json(task: Task) -> None:
    (found,) = written(OUTPUTS[task], OUTPUTS[task])
    assert orjson.loads(found["output"]) == OUTPUTS[task]
    assert ";" not in found["output"]  # some spreadsheets begin another cell after it


@pytest.mark.parametrize("first", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("other", [*OUTPUTS.values(), None], ids=[*OUTPUTS, "failed"])
def test_an_output_of_another_form_leaves_its_columns_empty(first: Any, other: Any) -> None:
    (found,) = written(first, other)
    columns = output_columns(first)
    if other is not None and (columns is WHOLE or output_columns(other).names == columns.names):
        assert all(found.values())
    else:
        assert set(found.values()) == {""}


def test_a_file_without_any_output_has_the_columns_of_classes() -> None:
    assert output_columns(None) is CLASSIFICATION


def test_names_of_values_are_no_formula_and_need_no_care() -> None:
    output = {"values": {"id": 1, 'a "b", c': 2, "x;=1+1": 3}}
    (found,) = written(output, output)
    assert found == {"values.id": "1", 'values.a "b", c': "2", "values.x;'=1+1": "3"}
