"""Every task through the whole stack: what comes back over HTTP, as CSV, in a webhook and in the prediction log."""

import base64
import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema_rs import Draft4Validator
from PIL import Image

from api.schemas import BatchResult, Model, Prediction
from shared.domain.task import Task
from tests.support.api_client import Door
from tests.support.batches import accepted, ended, results, send_archive, zipped
from tests.support.number_models import BROKEN, LABELS, expected, picture
from tests.support.receivers import receiving
from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(400)  # ten models are logged, and loaded by every worker
every_task = pytest.mark.parametrize("task", Task)


@pytest.fixture(scope="module")
def stack(tasks_stack: Stack) -> Stack:
    return tasks_stack


def without_mask(output: dict[str, Any]) -> dict[str, Any]:
    """Return an output as `expected` says it; of a mask only that it is right."""
    if "mask" not in output:
        return output
    image = Image.open(io.BytesIO(base64.b64decode(output["mask"])))
    (one,) = output["classes"]
    assert image.size == (output["width"], output["height"])
    assert image.getextrema() == (one["index"], one["index"])
    return {name: value for name, value in output.items() if name != "mask"}


@every_task
def test_each_image_gets_its_own_output(door: Door, task: Task) -> None:
    numbers = range(100, 140)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: door.predicted(picture(number), model=str(task)), numbers))
    for one in found:
        Prediction.model_validate(one)
    assert [without_mask(one["output"]) for one in found] == [expected(task, number) for number in numbers]
    assert door.predicted(picture(100), model=str(task))["source"] == "cache"
    assert door.predicted(picture(100), model=str(task))["output"] == found[0]["output"]
    # Read from its row, which has an order of members of its own.
    door.forget_in_redis(found[0]["id"])
    assert door.prediction(found[0]["id"])["output"] == found[0]["output"]


@every_task
def test_outputs_have_the_form_that_the_model_says(door: Door, task: Task) -> None:
    model = door.get(f"/v1/models/{task}")
    Model.model_validate(model)
    (served,) = model["versions"]
    assert served["task"] == task
    assert served["classes"] == (LABELS if task.needs_labels else [])
    schema = model["latest_version"]["openapi_schema"]["components"]["schemas"]["Output"]
    assert served["output"] == schema
    for number in range(200, 206):
        Draft4Validator(schema).validate(door.predicted(picture(number), model=str(task))["output"])


CSV = {
    Task.CLASSIFICATION: ["predicted_class", "confidence"],
    Task.MULTILABEL: ["predicted_classes", "scores"],
    Task.REGRESSION: ["values.length", "values.number"],
}


@every_task
def test_a_batch_gives_each_image_its_output_as_ndjson_and_as_csv(door: Door, task: Task) -> None:
    numbers = range(300, 350)
    files = [(f"{number}.png", picture(number)) for number in numbers]
    id = ended(door.http, accepted(send_archive(door.http, zipped(files), params={"model": str(task)}))["id"])["id"]
    lines = results(door.http, id)
    for line in lines:
        BatchResult.model_validate(line)
    found = [(line["custom_id"], without_mask(line["output"])) for line in lines]
    assert found == [(f"{number}.png", expected(task, number)) for number in numbers]
    text = door.http.get(f"/v1/batches/{id}/results", params={"format": "csv"}).text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    columns = CSV.get(task, ["output"])
    assert sorted(list(rows[0])[3:-3]) == sorted(columns)
    for row, line in zip(rows, lines, strict=True):
        assert_same(task, [row[name] for name in columns], line["output"])


def assert_same(task: Task, cells: list[str], output: dict[str, Any]) -> None:
    """Whether the cells of a row hold the output."""
    match task:
        case Task.CLASSIFICATION:
            assert cells == [output["predicted_class"], str(output["confidence"])]
        case Task.MULTILABEL:
            assert (cells[0].split("|") if cells[0] else []) == output["predicted_classes"]
            assert json.loads(cells[1]) == output["scores"]
        case Task.REGRESSION:
            assert [*map(float, cells)] == [output["values"]["length"], output["values"]["number"]]
        case _:
            assert json.loads(cells[0]) == output


@every_task
def test_a_webhook_and_the_prediction_log_have_the_output(door: Door, stack: Stack, task: Task) -> None:
    with receiving() as receiver:
        query = {"model": str(task), "webhook": receiver.url, "webhook_events_filter": "completed"}
        answer = door.submit(picture(400), **query)
        (came,) = receiver.wait_for(1)
    now = door.prediction(answer.json()["id"])
    assert came.json["output"] == now["output"]
    assert without_mask(came.json["output"]) == expected(task, 400)
    lines = map(orjson.loads, (stack.home / "logs" / "predictions.ndjson").read_bytes().splitlines())
    (line,) = (one for one in lines if one["prediction_id"] == now["id"])
    logged = line["output"]
    match task:
        case Task.REGRESSION:
            assert {one["name"]: one["value"] for one in logged["values"]} == now["output"]["values"]
        case Task.JSON:
            assert orjson.loads(logged["json"]) == now["output"]
        case _:
            assert logged.keys() == now["output"].keys()


def test_an_output_that_can_not_be_used_fails_its_image_alone(door: Door) -> None:
    files = [(f"{number}.png", picture(number)) for number in range(BROKEN - 5, BROKEN + 5)]
    id = ended(door.http, accepted(send_archive(door.http, zipped(files), params={"model": "json"}))["id"])["id"]
    lines = {line["custom_id"]: line for line in results(door.http, id)}
    broken = lines.pop(f"{BROKEN}.png")
    assert (broken["status"], broken["error_code"]) == ("failed", "model_error")
    assert "object" in broken["error"]
    assert all(line["status"] == "succeeded" for line in lines.values())


def test_the_bulk_command_writes_a_column_for_each_value(stack: Stack, tmp_path: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "results.csv"
    folder.mkdir()
    for number in range(500, 510):
        (folder / f"{number}.png").write_bytes(picture(number))
    stack.darkroom("bulk", str(folder), "--model", "regression", "--out", str(out))
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["custom_id"]: float(row["values.number"]) for row in rows} == {
        f"pictures/{number}.png": float(number) for number in range(500, 510)
    }
