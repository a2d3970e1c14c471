"""Batches' results in one CSV file, whatever their columns."""

import csv
import io

from cli.bulk.results_table import ResultsTable

CLASSES = "custom_id,id,status,predicted_class,confidence,version,error_code,error\r\n"
VALUES = "custom_id,id,status,values.age,version,error_code,error\r\n"


def table(*parts: list[str], without: frozenset[str] = frozenset()) -> str:
    file = io.StringIO(newline="")
    made = ResultsTable(file)
    for lines in parts:
        made.add(lines, without=without)
    return file.getvalue()


def test_batches_with_the_same_columns_follow_each_other_under_one_header() -> None:
    one, other = "a.png,1,succeeded,cat,0.9,3,,\r\n", '"two\nlines.png",2,succeeded,dog,0.8,3,,\r\n'
    assert table([CLASSES, one], [CLASSES, '"two\n', 'lines.png",2,succeeded,dog,0.8,3,,\r\n']) == CLASSES + one + other


def test_a_batch_of_another_task_adds_its_columns_to_all_rows() -> None:
    found = table([CLASSES, "a.png,1,failed,,,3,model_error,it broke\r\n"], [VALUES, "b.png,2,succeeded,37.5,3,,\r\n"])
    rows = list(csv.DictReader(io.StringIO(found)))
    assert list(rows[0]) == [
        "custom_id", "id", "status", "predicted_class", "confidence", "values.age", "version", "error_code", "error",
    ]  # fmt: skip
    assert [(row["custom_id"], row["values.age"], row["version"], row["error"]) for row in rows] == [
        ("a.png", "", "3", "it broke"),
        ("b.png", "37.5", "3", ""),
    ]


def test_rows_that_a_later_batch_replaced_are_left_out() -> None:
    found = table([VALUES, "a.png,1,succeeded,1,3,,\r\n", "b.png,2,succeeded,2,3,,\r\n"], without=frozenset({"a.png"}))
    assert found == VALUES + "b.png,2,succeeded,2,3,,\r\n"


def test_an_output_of_a_megabyte_fits_into_a_cell() -> None:
    cell = "x" * 2**20
    assert cell in table([VALUES, f"a.png,1,succeeded,{cell},3,,\r\n"], [CLASSES])


def test_a_batch_without_results_adds_nothing() -> None:
    assert table([]) == ""
