"""Results as lines: a JSON object or a CSV line an image."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.output_columns import CLASSIFICATION
from api.http.result_formats import AFTER_OUTPUT, BEFORE_OUTPUT, as_csv, as_ndjson, csv_header
from shared.domain.identifiers import PredictionId, new_uuid7
from shared.presentation.spreadsheets import safe_cell
from shared.storage.batches import ItemRow

BASE = "http://darkroom.test"
OUTPUT = {
    "confidence": 0.9,
    "probabilities": {"0": 0.02, "1": 0.08, "7": 0.9},
    "predicted_class": "7",
    "predicted_index": 7,
}


def row(custom_id: str | None = "scans/7.png", **changes: Any) -> ItemRow:
    facts: dict[str, Any] = {
        "id": PredictionId(new_uuid7()),
        "status": "succeeded",
        "version": "3",
        "source": "model",
        "output": OUTPUT,
        "error": None,
        "error_code": None,
    }
    return ItemRow(custom_id=custom_id, **{**facts, **changes})


def failed(custom_id: str | None = "notes.txt") -> ItemRow:
    return row(
        custom_id, status="failed", output=None, error="it is text, not an image", error_code="unsupported_image"
    )


def read_csv(rows: Sequence[ItemRow]) -> list[dict[str, str]]:
    """Read the header and the rows as any CSV reader does."""
    text = (csv_header() + as_csv(rows, base_url=BASE)).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def read_ndjson(rows: Sequence[ItemRow]) -> list[dict[str, Any]]:
    """Read a JSON object a line; the last line ends too."""
    *lines, rest = as_ndjson(rows, base_url=BASE).split(b"\n")
    assert rest == b""
    return [orjson.loads(line) for line in lines]


# CSV


def test_the_columns_of_the_csv_are_named_in_its_first_line() -> None:
    assert csv_header() == b"custom_id,id,status,predicted_class,confidence,version,error_code,error\r\n"


def test_a_csv_line_has_what_its_row_has() -> None:
    one = row()
    assert as_csv([one], base_url=BASE) == f"scans/7.png,{one.id},succeeded,7,0.9,3,,\r\n".encode()


def test_a_failed_image_has_its_error_and_nothing_of_an_output() -> None:
    one = failed()
    expected = f'notes.txt,{one.id},failed,,,3,unsupported_image,"it is text, not an image"\r\n'
    assert as_csv([one], base_url=BASE) == expected.encode()


def test_a_canceled_image_has_neither_output_nor_error() -> None:
    one = row(status="canceled", output=None)
    assert as_csv([one], base_url=BASE) == f"scans/7.png,{one.id},canceled,,,3,,\r\n".encode()


def test_missing_values_of_a_row_are_empty() -> None:
    (found,) = read_csv([row(None, output={"predicted_class": "7"})])
    assert (found["custom_id"], found["predicted_class"], found["confidence"]) == ("", "7", "")


@pytest.mark.parametrize("output", [None, [], "7", 7, 0.5, True])
def test_an_output_that_is_no_object_leaves_its_columns_empty(output: Any) -> None:
    (found,) = read_csv([row(output=output)])
    assert (found["predicted_class"], found["confidence"], found["status"]) == ("", "", "succeeded")


@pytest.mark.parametrize("confidence", [1.0, 0.1 + 0.2, 1e-09, 0.998])
def test_a_confidence_is_written_with_all_its_digits(confidence: float) -> None:
    (found,) = read_csv([row(output={**OUTPUT, "confidence": confidence})])
    assert float(found["confidence"]) == confidence


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a,b.png", '"a,b.png"'),
        ('say "7".png', '"say ""7"".png"'),
        ("two\nlines.png", '"two\nlines.png"'),
        ("two\r\nlines.png", '"two\r\nlines.png"'),
        ("one\rreturn.png", '"one\rreturn.png"'),
        (" spaces .png ", " spaces .png "),
        ("семь 🏠;\t.png", "семь 🏠;\t.png"),
    ],
)
def test_names_are_quoted_where_they_have_to_be(name: str, written: str) -> None:
    one = row(name)
    assert as_csv([one], base_url=BASE) == f"{written},{one.id},succeeded,7,0.9,3,,\r\n".encode()


@pytest.mark.parametrize("name", ["=1+1", "+7.png", "-7.png", "@SUM(A1)", "=cmd|'/C calc'!A0", "＝1+1"])
def test_no_text_is_written_as_a_spreadsheet_formula(name: str) -> None:
    (found,) = read_csv([row(name, output={**OUTPUT, "predicted_class": name}, error=name)])
    assert [found[column] for column in ("custom_id", "predicted_class", "error")] == [f"'{name}"] * 3
    (whole,) = read_ndjson([row(name, output={**OUTPUT, "predicted_class": name}, error=name)])
    assert [whole["custom_id"], whole["output"]["predicted_class"], whole["error"]] == [name] * 3


@pytest.mark.parametrize("name", ["-1", "+2.5", "-1e-3", "'7.png", "7=7.png", "a-b"])
def test_numbers_and_other_texts_are_left_as_they_are(name: str) -> None:
    (found,) = read_csv([row(name, output={**OUTPUT, "predicted_class": name})])
    assert (found["custom_id"], found["predicted_class"]) == (name, name)


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)] * 3),
        max_size=6,
    )
)
def test_any_text_is_read_back_from_both_formats(texts: list[tuple[str, str, str]]) -> None:
    rows = [
        row(name, output={**OUTPUT, "predicted_class": label}, error=error, error_code="model_error")
        for name, label, error in texts
    ]
    cells = [tuple(map(safe_cell, texts_of_a_row)) for texts_of_a_row in texts]
    assert [(found["custom_id"], found["predicted_class"], found["error"]) for found in read_csv(rows)] == cells
    assert [
        (found["custom_id"], found["output"]["predicted_class"], found["error"]) for found in read_ndjson(rows)
    ] == texts
    assert [found["id"] for found in read_csv(rows)] == [found["id"] for found in read_ndjson(rows)]


# NDJSON


def test_a_line_of_ndjson_has_all_of_its_row() -> None:
    one = row(source="cache")
    assert read_ndjson([one]) == [
        {
            "custom_id": "scans/7.png",
            "id": one.id,
            "status": "succeeded",
            "version": "3",
            "source": "cache",
            "output": OUTPUT,
            "error": None,
            "error_code": None,
        }
    ]


def test_a_failed_line_has_no_output() -> None:
    (found,) = read_ndjson([failed(None)])
    assert found["custom_id"] is found["output"] is None
    assert (found["status"], found["error_code"]) == ("failed", "unsupported_image")
    assert found["error"] == "it is text, not an image"


def test_probabilities_come_highest_first() -> None:
    (found,) = read_ndjson([row()])
    assert list(found["output"]["probabilities"].items()) == [("7", 0.9), ("1", 0.08), ("0", 0.02)]


def test_of_equal_probabilities_the_predicted_class_comes_first() -> None:
    output = {**OUTPUT, "probabilities": {"0": 0.25, "1": 0.5, "2": 0.25, "7": 0.5}}
    (found,) = read_ndjson([row(output=output)])
    assert list(found["output"]["probabilities"]) == ["7", "1", "0", "2"]


def test_the_row_itself_is_not_changed() -> None:
    one = row(output={**OUTPUT, "probabilities": {"1": 0.1, "7": 0.9}})
    as_ndjson([one], base_url=BASE)
    assert list(one.output["probabilities"]) == ["1", "7"]


def test_a_name_with_line_ends_stays_on_one_line() -> None:
    names = ["two\nlines", "carriage\r\nreturn", "line\u2028separator"]
    assert [found["custom_id"] for found in read_ndjson([row(name) for name in names])] == names


# Both


def test_rows_keep_their_order() -> None:
    rows = [row(str(number)) if number % 3 else failed(str(number)) for number in range(50)]
    ids = [one.id for one in rows]
    assert [found["id"] for found in read_csv(rows)] == ids
    assert [found["id"] for found in read_ndjson(rows)] == ids


def test_no_rows_give_no_bytes() -> None:
    assert as_csv([], base_url=BASE) == as_ndjson([], base_url=BASE) == b""
    assert read_csv([]) == []


def test_every_csv_line_has_every_column() -> None:
    for found in read_csv([row(), failed(), row(None, output=None, version="")]):
        assert tuple(found) == (*BEFORE_OUTPUT, *CLASSIFICATION.names, *AFTER_OUTPUT)
        assert None not in found.values()


def test_further_columns_follow_and_are_no_formulas_either() -> None:
    one = row()
    assert csv_header("model", "filename").endswith(b",error,model,filename\r\n")
    assert as_csv([one], base_url=BASE, more=[("digits", "=1+1")]).endswith(b"3,,,digits,'=1+1\r\n")


def test_scores_of_several_labels_come_highest_first_and_other_outputs_stay_as_they_are() -> None:
    output = {"predicted_classes": ["dog"], "scores": {"a": 0.25, "cat": 0.5, "dog": 0.75}}
    outputs = [output, {"values": {"b": 1, "a": 2}}, {"predicted_classes": 3, "scores": {"a": None, "b": 1}}, None]
    found = [one["output"] for one in read_ndjson([row(output=one) for one in outputs])]
    assert list(found[0]["scores"]) == ["dog", "cat", "a"]
    assert found[1:] == outputs[1:]
