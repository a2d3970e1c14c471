"""Boxes and masks lie in the picture that was sent, as it is shown upright: each image's in its own."""

import base64
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from PIL import Image, ImageOps

from tests.support.json_schema import Validator
from tests.support.stack import Stack
from tests.support.waiting import LIMIT

LABELS = ["zero", "one", "two", "three"]
TASKS = ("detection", "segmentation", "json")
ORDER = [3, 0, 0, 2, 1, 3, 2, 1, 0, 2, 3, 1]


@pytest.fixture(scope="module")
def http(tasks_stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=tasks_stack.url, timeout=LIMIT, trust_env=False) as http:
        yield http


def picture(index: int, *, copy: int = 0, bad: bool = False, orientation: int = 1) -> bytes:
    """Return a PNG of 16x16 whose lit part becomes the model's pixel `index`; copies differ where no model looks."""
    image = Image.new("RGB", (16, 16))
    image.paste((255, 255 * bad, 255 * bad), (2 * index, 0, 2 * index + 2, 2))
    image.putpixel((15, 15), (0, 0, copy + 1))
    exif, file = Image.Exif(), io.BytesIO()
    if orientation == 6:  # to be turned a quarter clockwise, so it is stored a quarter the other way
        exif[0x0112], image = orientation, image.transpose(Image.Transpose.ROTATE_90)
    image.save(file, "PNG", exif=exif)
    return file.getvalue()


def predicted(http: httpx.Client, model: str, image: bytes) -> dict[str, Any]:
    found = http.post(
        f"/v1/predictions?model=lit-{model}", content=image, headers={"Prefer": "wait=60", "Content-Type": "image/png"}
    )
    assert found.status_code in (200, 201, 202), found.text
    id = found.json()["id"]
    return dict(http.get(f"/v1/predictions/{id}", headers={"Prefer": "wait=60"}).json())


def expect_output(task: str, found: Any, index: int) -> None:
    match task:
        case "detection":
            box = [4 * index, 0, 4 * index + 4, 16]
            assert found == {"detections": [{"label": LABELS[index], "score": 1, "box": box}]}
        case "segmentation":
            mask = Image.open(io.BytesIO(base64.b64decode(found["mask"])))
            assert mask.size == (16, 16)
            lit = [(x, y) for x in range(16) for y in range(16) if mask.getpixel((x, y)) == 1]
            assert lit == [(2 * index + x, y) for x in range(2) for y in range(2)]
        case "json":
            assert found == {"lit": [float(n == index) for n in range(4)], "number": 0.0}


@pytest.mark.parametrize("task", TASKS)
def test_each_prediction_has_its_own_images_output(http: httpx.Client, task: str) -> None:
    files = [picture(index, copy=copy) for copy, index in enumerate(ORDER)]
    with ThreadPoolExecutor(len(files)) as clients:
        found = list(clients.map(lambda file: predicted(http, task, file), files))
    version = http.get(f"/v1/models/lit-{task}").json()["versions"][0]
    assert version["task"] == task
    for prediction, index in zip(found, ORDER, strict=True):
        assert prediction["status"] == "succeeded", prediction
        expect_output(task, prediction["output"], index)
        assert list(Validator({}).faults(prediction["output"], version["output"])) == []


def test_boxes_lie_in_the_picture_as_it_is_shown_upright(http: httpx.Client) -> None:
    found = predicted(http, "detection", picture(2, copy=100, orientation=6))
    assert found["status"] == "succeeded", found
    expect_output("detection", found["output"], 2)


def test_an_object_that_json_cannot_hold_fails_its_image_alone(http: httpx.Client) -> None:
    files = [picture(0, copy=200 + copy, bad=copy == 1) for copy in range(3)]
    with ThreadPoolExecutor(3) as clients:
        first, bad, last = clients.map(lambda file: predicted(http, "json", file), files)
    assert (first["status"], last["status"]) == ("succeeded", "succeeded")
    assert (bad["status"], bad["error_code"], bad["output"]) == ("failed", "model_error", None)
    assert "not finite" in bad["error"]


def upright_crop(image: bytes, box: list[int]) -> bytes:
    file = io.BytesIO()
    ImageOps.exif_transpose(Image.open(io.BytesIO(image))).crop(tuple(box)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_named_pipeline_classifies_what_the_detector_finds(http: httpx.Client, orientation: int) -> None:
    copies = enumerate(ORDER, start=20 * orientation)
    files = [picture(index, copy=copy, orientation=orientation) for copy, index in copies]
    with ThreadPoolExecutor(len(files)) as clients:
        found = list(clients.map(lambda file: predicted(http, "boxed", file), files))
    for prediction, file, index in zip(found, files, ORDER, strict=True):
        assert prediction["status"] == "succeeded", prediction
        assert (prediction["model"], prediction["variant"]) == ("lit-boxed", "pipeline")
        output = prediction["output"]
        steps = output.pop("pipeline")["steps"]
        expect_output("detection", output, index)
        (result,) = steps[1]["results"]
        assert result["box"] == [4 * index, 0, 4 * index + 4, 16]
        alone = predicted(http, "classification", upright_crop(file, result["box"]))
        assert result["output"] == alone["output"]


def test_models_show_the_pipelines_that_their_tags_define(http: httpx.Client) -> None:
    shown = http.get("/v1/models/lit-boxed").json()
    assert shown["pipeline"]["then"]["models"] == ["lit-classification"]
    assert shown["latest_version"]["openapi_schema"]["components"]["schemas"]["Output"]["required"] == ["pipeline"]
    assert "lit-boxed" in [one["name"] for one in http.get("/v1/models").json()["results"]]
    assert http.get("/v1/models/lit-detection").json()["pipeline"] is None
    png = {"Content-Type": "image/png"}
    refused = http.post("/v1/predictions?model=lit-boxed@champion", content=picture(1), headers=png)
    assert (refused.status_code, refused.json()["detail"].count("pipeline")) == (404, 1)
