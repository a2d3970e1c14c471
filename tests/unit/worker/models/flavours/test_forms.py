"""Forms in which people write models: a worker's answers are those of the model called directly."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.deferred_imports import deferred

from .conftest import IMAGE, LABELS, SIDE, apart, network

torch = deferred("torch")
mlflow = deferred("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torch")]

TOLERANCE = 1e-5
METADATA: dict[str, Any] = {"image": IMAGE, "labels": LABELS}
Load = Callable[..., Any]


def test_a_pickled_module_whose_signature_has_bytes_gets_bytes(tmp_path: Path, load: Load, images: Any) -> None:
    class OfBytes(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, pixels: Any) -> Any:
            return self.network(pixels.float() / 255 - 0.5)

    module = OfBytes().eval()
    mlflow.pytorch.save_model(
        module, str(tmp_path / "model"), serialization_format="pickle", pip_requirements=["torch"],
        metadata={"image": {"crop_size": SIDE}, "labels": LABELS}, input_example=np.zeros((2, 3, SIDE, SIDE), np.uint8),
    )  # fmt: skip
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted = module(pixels).softmax(1)
    assert apart(load(tmp_path / "model").predict(images), wanted) <= TOLERANCE


BACKWARDS = LABELS[::-1]


def framed(rows: Any, columns: list[str]) -> Any:
    import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415  slow

    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize(
    "form",
    [
        lambda rows: rows,
        lambda rows: rows.tolist(),
        lambda rows: framed(rows, LABELS),
        lambda rows: framed(rows[:, ::-1], BACKWARDS),
        lambda rows: framed(rows, ["0", "1", "2", "3"]),
        lambda rows: [dict(zip(BACKWARDS, row[::-1], strict=True)) for row in rows],
        lambda rows: dict(zip(BACKWARDS, rows.T[::-1], strict=True)),
    ],
    ids=["array", "lists", "frame", "frame in another order", "frame of numbers", "dicts", "columns"],
)
def test_scores_that_have_the_labels_names_are_those_labels(
    tmp_path: Path, load: Load, images: Any, batch: Any, form: Any
) -> None:
    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
            return form(model_input[:, 0, 0, :4])

    mlflow.pyfunc.save_model(
        tmp_path / "model", python_model=Model(), metadata=METADATA | {"activation": "none"}, pip_requirements=["numpy"]
    )
    assert apart(load(tmp_path / "model").predict(images), batch[:, 0, 0, :4]) <= TOLERANCE


def test_a_model_with_threads_of_its_own(tmp_path: Path, load: Load, images: Any, batch: Any) -> None:
    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def load_context(self, context: Any) -> None:  # noqa: ARG002
            self.stop = threading.Event()
            threading.Thread(target=self.stop.wait, daemon=True).start()

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
            with ThreadPoolExecutor(3) as pool:
                return np.stack([*pool.map(lambda image: image[0, 0, :4], model_input)])

    mlflow.pyfunc.save_model(
        tmp_path / "model", python_model=Model(), metadata=METADATA | {"activation": "none"}, pip_requirements=["numpy"]
    )
    model = load(tmp_path / "model")
    model.warm_up(5)
    assert apart(model.predict(images), batch[:, 0, 0, :4]) <= TOLERANCE


def test_objects_with_arrays_of_any_layout(tmp_path: Path, load: Load, images: Any, batch: Any) -> None:
    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
            return [{"turned": row[:2].T, "half": row[0, 0].astype(np.float16)} for row in model_input[:, 0]]

    mlflow.pyfunc.save_model(
        tmp_path / "model", python_model=Model(), metadata={"image": IMAGE, "task": "json"}, pip_requirements=["numpy"]
    )
    found = [json.loads(output) for output in load(tmp_path / "model").predict(images)]
    assert np.abs(np.array([one["turned"] for one in found]) - batch[:, 0, :2].numpy().transpose(0, 2, 1)).max() < 1e-6
    assert np.abs(np.array([one["half"] for one in found]) - batch[:, 0, 0, 0].numpy()).max() < 1e-2


def flat_training() -> tuple[Any, Any]:
    rows = np.random.default_rng(0).normal(size=(80, 3 * SIDE * SIDE)).astype(np.float32)
    return rows, np.arange(80) % len(LABELS)


@pytest.mark.parametrize("asked", ["predict_proba", "predict_log_proba"])
def test_an_estimator_that_was_logged_with_another_method(
    tmp_path: Path, load: Load, images: Any, batch: Any, asked: str
) -> None:
    fitted = deferred("sklearn.linear_model").LogisticRegression(max_iter=300).fit(*flat_training())
    mlflow.sklearn.save_model(
        fitted, str(tmp_path / "model"), metadata=METADATA, pip_requirements=["numpy"],
        serialization_format="cloudpickle", pyfunc_predict_fn=asked,
    )  # fmt: skip
    wanted = fitted.predict_proba(batch.flatten(1).numpy())
    assert apart(load(tmp_path / "model").predict(images), wanted) <= TOLERANCE


def test_an_output_that_was_always_or_never_present_in_training(tmp_path: Path, load: Load, images: Any) -> None:
    rows, ids = flat_training()
    present = np.stack([ids % 2, np.ones(80, np.int64), np.zeros(80, np.int64)], axis=1)
    fitted = deferred("sklearn.tree").DecisionTreeClassifier(max_depth=2).fit(rows, present)
    labels = ["sometimes", "always", "never"]
    mlflow.sklearn.save_model(
        fitted, str(tmp_path / "model"), metadata={"image": IMAGE, "labels": labels}, pip_requirements=["numpy"],
        serialization_format="cloudpickle",
    )  # fmt: skip
    found = [json.loads(output)["scores"] for output in load(tmp_path / "model").predict(images)]
    assert {(one["always"], one["never"]) for one in found} == {(1.0, 0.0)}
