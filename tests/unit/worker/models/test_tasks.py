"""Each task in each form that models are logged in: row i is image i's, alone as in a batch, and a bad row fails alone.

What an image answers is in its first red pixels: which of the first four is lit.
"""

import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.domain.output_schema import output_schema
from shared.domain.task import Task
from shared.settings import Registry
from tests.support.deferred_imports import deferred
from tests.support.json_schema import Validator
from worker.decode.sized_pixels import SizedPixels
from worker.models.errors import ModelError
from worker.models.registry.mlflow_setup import configure_mlflow_client

torch = deferred("torch")
mlflow = deferred("mlflow")
loading = deferred("worker.models.loading")
task_models = deferred("tests.support.task_models")
pytestmark = pytest.mark.xdist_group("torch")  # one process imports torch and MLflow

SIDE = 8
ORDER = [3, 0, 0, 2, 1, 3, 2]
TASKS = [*Task]


@pytest.fixture(scope="module", autouse=True)
def _mlflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, of its own type hints
        for module in ("mlflow.pyfunc", "mlflow.pytorch", "mlflow.models"):
            importlib.import_module(module)
    configure_mlflow_client(Registry())


def load(path: Path, task: str, form: str, **metadata: Any) -> Any:
    """Save a model as MLflow would log it, and load it as a worker does."""
    task_models.save(str(path), str(task), form, **metadata)
    return loaded(path)


def loaded(path: Path) -> Any:
    return loading.load(str(path), registry=Registry(url="sqlite://"), device="cpu", threads=1, max_pixels=1_000_000)


def image(index: int, model: Any) -> Any:
    """Return a picture with one lit pixel; where a task needs the size of the picture, it is twice as large."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[0, index, 0] = 255
    return SizedPixels(pixels, (2 * SIDE, 2 * SIDE)) if model.needs_size else pixels


def expect_output(task: str, found: Any, index: int) -> None:
    match task:
        case "classification":
            assert found["predicted_index"] == index
        case "multilabel":
            assert found["predicted_classes"] == [task_models.LABELS[index]]
        case "regression":
            expected = {"width": 3.0 * (index == 1), "depth": 3.0 * (index == 2)}
            assert found == {"values": expected, "units": {"width": "mm"}}
        case "embedding":
            assert found == {"dimensions": 4, "embedding": [float(n == index) for n in range(4)]}
        case "detection":
            box = [4.0 * index, 0.0, 4.0 * index + 4, 16.0]
            assert found == {"detections": [{"label": task_models.LABELS[index], "score": 1.0, "box": box}]}
        case "segmentation":
            shares = {one["label"]: one["share"] for one in found["classes"]}
            assert (found["width"], found["height"]) == (16, 16)
            assert shares == {"dark": 63 / 64, "lit": pytest.approx(1 / 64)}
        case "json":
            assert found["lit"] == [float(n == index) for n in range(4)]


@pytest.mark.parametrize("form", ["pickle", "pt2", "pyfunc"])
@pytest.mark.parametrize("task", TASKS)
def test_row_i_is_image_i_for_each_task_in_each_form(tmp_path: Path, task: str, form: str) -> None:
    model = load(tmp_path / "model", task, form)
    model.warm_up(4)
    outputs = model.predict([image(index, model) for index in ORDER])
    assert outputs == [model.predict([image(index, model)])[0] for index in ORDER]
    schema = output_schema(model.task, labels=model.labels, options=model.options)
    for output, index in zip(outputs, ORDER, strict=True):
        expect_output(task, json.loads(output), index)
        assert list(Validator({}).faults(json.loads(output), schema)) == []


@pytest.mark.parametrize("task", TASKS)
def test_a_fixed_batch_size_serves_each_task_in_portions(tmp_path: Path, task: str) -> None:
    model = load(tmp_path / "model", task, "pickle")
    model._forward._batch_size = 3
    outputs = model.predict([image(index, model) for index in ORDER])
    assert len(outputs) == len(ORDER)
    for output, index in zip(outputs, ORDER, strict=True):
        expect_output(task, json.loads(output), index)


@pytest.mark.parametrize(
    ("task", "metadata", "words"),
    [
        ("classification", {"labels": ["a"]}, "has 1 labels"),
        ("multilabel", {"labels": ["a"]}, "has 1 labels"),
        ("regression", {"values": ["a"]}, "2 values an image and has 1 names"),
        ("detection", {"output": None}, "no boxes: name it with `output`"),
        ("detection", {"output": {"boxes": "boxes"}}, "`output` is 'boxes', and the model has 'places'"),
        ("segmentation", {"output": "mask"}, "`output` is 'mask', and the model has 'out'"),
        ("embedding", {"output": "vector"}, "`output` is 'vector', and the model has one output"),
        ("json", {"max_bytes": 8}, "over the limit of 8"),
    ],
)
def test_warming_up_finds_outputs_that_do_not_fit_the_task(
    tmp_path: Path, task: str, metadata: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        load(tmp_path / "model", task, "pickle", **metadata).warm_up(2)


@pytest.mark.slow
def test_a_scripted_detector_gets_a_list_of_images(tmp_path: Path) -> None:
    metadata = {"task": "detection", "image": {"resize_size": [SIDE, SIDE]}} | task_models.METADATA["detection"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, that TorchScript is deprecated
        scripted = torch.jit.script(task_models.ListDetector())
        mlflow.pytorch.save_model(
            scripted,
            str(tmp_path / "model"),
            metadata=metadata,
            serialization_format="pickle",
            pip_requirements=["torch"],
        )
        model = loaded(tmp_path / "model")
    model.warm_up(4)
    for output, index in zip(model.predict([image(index, model) for index in ORDER]), ORDER, strict=True):
        expect_output("detection", json.loads(output), index)
