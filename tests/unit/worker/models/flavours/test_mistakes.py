"""Mistakes of who logs a model: each is refused with what is wrong and what to write instead."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.deferred_imports import deferred
from worker.models.errors import ModelError
from worker.models.failure_text import failure_text

from .conftest import IMAGE, LABELS, SIDE, network

torch = deferred("torch")
nn = deferred("torch.nn")
mlflow = deferred("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torch")]

METADATA: dict[str, Any] = {"image": IMAGE, "labels": LABELS}
Load = Callable[..., Any]


def save_torch(path: Path, module: Any, **options: Any) -> Path:
    options = {"metadata": METADATA, "serialization_format": "pickle", "pip_requirements": ["torch"]} | options
    mlflow.pytorch.save_model(module, str(path), **options)
    return path


def save_pyfunc(path: Path, predict: Any, **options: Any) -> Path:
    options = {"metadata": METADATA, "pip_requirements": ["numpy"]} | options
    mlflow.pyfunc.save_model(str(path), python_model=predict, **options)
    return path


def what_is_said(load: Load, path: Path, **tags: str) -> str:
    """Return what a worker says of a version that it can't serve."""
    with pytest.raises(Exception) as failed:  # noqa: PT011  a model raises anything
        load(path, **tags).warm_up(4)
    return failure_text(failed.value)


# --- what the model is given


@pytest.mark.parametrize(
    ("channels", "words"), [(1, "mode RGB: write mode L into `image`"), (4, "an image has 1 or 3 channels")]
)
@pytest.mark.parametrize("format", ["pickle", "torchscript", "pt2"])
def test_channels_that_an_image_has_not(tmp_path: Path, load: Load, channels: int, words: str, format: str) -> None:
    module = nn.Sequential(nn.Conv2d(channels, 4, 8), nn.Flatten()).eval()
    options: dict[str, Any] = {}
    if format == "pt2":
        example = np.zeros((2, channels, SIDE, SIDE), np.float32)
        options = {"serialization_format": "pt2", "input_example": example}
    module = torch.jit.script(module) if format == "torchscript" else module
    said = what_is_said(load, save_torch(tmp_path / "model", module, **options))
    assert (words.removeprefix("mode RGB: ") if format == "pt2" else words) in said


def test_a_layer_of_another_size_says_what_image_gives(tmp_path: Path, load: Load) -> None:
    said = what_is_said(load, save_torch(tmp_path / "model", nn.Sequential(nn.Flatten(), nn.Linear(7, 4))))
    assert said.endswith("`image` gives it 3×8×8, mode RGB")


def reading_a_frame(df: Any) -> Any:
    return df.to_numpy()


def reshaping(model_input):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  MLflow reads hints as a schema
    return model_input.reshape(-1, 7)


@pytest.mark.parametrize("predict", [reading_a_frame, reshaping])
def test_a_python_model_that_wants_another_input_is_told_what_it_was_given(
    tmp_path: Path, load: Load, predict: Any
) -> None:
    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
            return predict(model_input)

    said = what_is_said(load, save_pyfunc(tmp_path / "model", Model()))
    assert "predict was given a numpy array of float32, (images, 3, 8, 8), because the model has no signature" in said
    assert "log it with signature=infer_signature(what it takes)" in said


def test_an_image_that_a_served_python_model_raises_for_fails_with_the_models_own_words(
    tmp_path: Path, load: Load, images: Any
) -> None:
    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
            if len(model_input) == 5:
                raise ValueError("no face found")
            return np.ones((len(model_input), 4))

    model = load(save_pyfunc(tmp_path / "model", Model()))
    model.warm_up(4)
    with pytest.raises(ValueError, match="no face found") as failed:
        model.predict(images)
    assert failure_text(failed.value) == "ValueError: no face found"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"image": "float32", "mask": "float32"}, "the signature wants the inputs image, mask: a model may have one"),
        ({None: "str"}, "an image comes as numbers: let predict take an array of uint8 or float32"),
    ],
)
def test_signatures_of_what_an_image_is_not(tmp_path: Path, load: Load, inputs: Any, words: str) -> None:
    types = mlflow.types
    schema = types.Schema(
        [types.TensorSpec(np.dtype(kind), (-1, 3, SIDE, SIDE), name) for name, kind in inputs.items()]
    )
    signature = mlflow.models.ModelSignature(inputs=schema)
    assert words in what_is_said(load, save_pyfunc(tmp_path / "model", reshaping, signature=signature))


# --- what the model answers with


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda rows: ["cat"] * len(rows), "answers with list of str, not with numbers: let it return an array"),
        (lambda rows: np.full((len(rows), 4), "cat", object), "answers with an array of object, not with numbers"),
        (lambda rows: None, "answers with NoneType, not with numbers"),  # noqa: ARG005
        (lambda rows: np.arange(len(rows)), "return a score for each label, not the class' index"),
        (lambda rows: np.ones((len(rows), 1)), "of a binary model [1 - p, p]"),
        (lambda rows: np.ones((3 * len(rows), 4)), "its first dimension must be the images'"),
        (lambda rows: {"boxes": rows, "scores": rows}, "is its task detection?"),
        (lambda rows: {"no": rows}["yes"], "KeyError: 'yes', in test_mistakes.py:"),
    ],
)
def test_answers_that_can_not_be_used(tmp_path: Path, load: Load, answer: Any, words: str) -> None:
    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
            return answer(model_input)

    assert words in what_is_said(load, save_pyfunc(tmp_path / "model", Model()))


def test_a_classifier_of_several_outputs_has_to_say_absent_or_present_of_each(tmp_path: Path, load: Load) -> None:
    rows = np.random.default_rng(0).random((40, 3 * SIDE * SIDE), dtype=np.float32)
    fitted = deferred("sklearn.tree").DecisionTreeClassifier(max_depth=2)
    fitted.fit(rows, np.stack([np.arange(40) % 3, np.arange(40) % 2], axis=1))
    options = {"metadata": {"image": IMAGE, "labels": ["a", "b"]}, "serialization_format": "cloudpickle"}
    mlflow.sklearn.save_model(fitted, str(tmp_path / "model"), pip_requirements=["numpy"], **options)
    assert "output 0 of the classifier has the classes 0, 1, 2" in what_is_said(load, tmp_path / "model")


# --- files and metadata


def test_missing_metadata_is_told_with_what_to_log(tmp_path: Path, load: Load) -> None:
    example = np.zeros((2, 3, SIDE, SIDE), np.float32)
    options = {"metadata": None, "serialization_format": "pt2", "input_example": example}
    said = what_is_said(load, save_torch(tmp_path / "model", network(), **options))
    assert said.endswith('log it with metadata={"image": {"resize_size": [8, 8], …}, "labels": […]}')
    said = what_is_said(load, tmp_path / "model", image=json.dumps(IMAGE))
    assert said.endswith('log it with metadata={"labels": […]}')


def test_a_graph_that_was_exported_in_training_mode_says_so(tmp_path: Path, load: Load) -> None:
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), network()).train()
    example = np.zeros((2, 3, SIDE, SIDE), np.float32)
    model = load(save_torch(tmp_path / "model", module, serialization_format="pt2", input_example=example))
    assert "exported in training mode (batch_norm, dropout): call model.eval() before you log it" in model.warnings


def test_a_file_that_is_not_part_of_the_version(tmp_path: Path, load: Load) -> None:
    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def load_context(self, context: Any) -> None:  # noqa: ARG002
            Path("/home/somebody/weights.pth").read_bytes()

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
            return model_input

    said = what_is_said(load, save_pyfunc(tmp_path / "model", Model()))
    assert "'/home/somebody/weights.pth': workers have the version's own files alone: log this one with it" in said


def test_a_model_that_mlflow_can_only_load(tmp_path: Path, load: Load) -> None:
    fitted = deferred("sklearn.decomposition").PCA(2).fit(np.random.default_rng(0).random((9, 3 * SIDE * SIDE)))
    options: dict[str, Any] = {"metadata": {"image": IMAGE, "task": "embedding"}, "pip_requirements": ["numpy"]}
    mlflow.sklearn.save_model(fitted, str(tmp_path / "model"), serialization_format="cloudpickle", **options)
    assert "wrap it in an mlflow.pyfunc.PythonModel" in what_is_said(load, tmp_path / "model")


def test_refusals_are_one_kind_of_error(tmp_path: Path, load: Load) -> None:
    with pytest.raises(ModelError):
        load(save_torch(tmp_path / "model", network(), metadata=None))
