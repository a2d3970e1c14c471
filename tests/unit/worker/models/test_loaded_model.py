"""Loading versions as MLflow saved them, and predicting: each image gets its own output.

Over 300 lines: every flavour and kind of output is a test of its own, with one set of helpers.
"""

import importlib
import json
import socket
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.domain.image import ImageSpec
from shared.settings import Registry, SettingsError
from tests.support.deferred_imports import deferred
from worker.models.errors import ModelError, OutOfMemory
from worker.models.metadata.model_metadata import ModelMetadata
from worker.models.registry.mlflow_setup import configure_mlflow_client

torch = deferred("torch")
nn = deferred("torch.nn")
mlflow = deferred("mlflow")
cpu_forward = deferred("worker.models.cpu.forward")
devices = deferred("worker.models.devices")
loaded_model = deferred("worker.models.loaded_model")
loading = deferred("worker.models.loading")
process_settings = deferred("worker.models.process_settings")
output_readers = deferred("worker.models.outputs.readers")
torch_modules = deferred("worker.models.flavours.torch_modules")
pytestmark = pytest.mark.xdist_group("torch")  # one process runs them all, and no other imports torch and MLflow

SIDE = 8
LABELS = [f"pixel {index}" for index in range(4)]
METADATA: dict[str, Any] = {
    "image": {"crop_size": SIDE, "mean": [0.2, 0.3, 0.4], "std": [0.5, 0.6, 0.7]},
    "labels": LABELS,
}


@pytest.fixture(scope="module", autouse=True)
def _mlflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, of its own type hints
        for module in ("mlflow.pyfunc", "mlflow.pytorch", "mlflow.sklearn", "mlflow.models"):
            importlib.import_module(module)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    configure_mlflow_client(Registry())


def first_pixels() -> Any:
    """Make a network whose scores are the first four red pixels: what comes out says which image went in."""

    class FirstPixels(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, 0, 0, :4] * 10

    return FirstPixels()


def pointing_at(index: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[0, index, 0] = 255
    return image


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, len(LABELS))).eval()


def saved(module: Any, path: Path, *, batch: int = 2, free: bool = True, **options: Any) -> str:
    """Save as MLflow would log it; a signature with a fixed first dimension makes a fixed batch size."""
    example = np.zeros((batch, 3, SIDE, SIDE), np.float32)
    signature = mlflow.models.infer_signature(example, module(torch.from_numpy(example)).detach().numpy())
    if not free:
        for schema in (signature.inputs, signature.outputs):
            spec = schema.inputs[0]
            spec._shape = (batch, *spec.shape[1:])
    options = {"serialization_format": "pt2", "metadata": METADATA, "pip_requirements": ["torch"]} | options
    mlflow.pytorch.save_model(module, str(path), input_example=example, signature=signature, **options)
    return str(path)


def loaded(uri: str) -> Any:
    return loading.load(uri, registry=Registry(url="sqlite://"), device="cpu", threads=1, max_pixels=1_000_000)


def made(forward: Any, **metadata: Any) -> Any:
    found = ModelMetadata.from_metadata(METADATA | metadata)
    on_cpu = cpu_forward.CpuForward(forward, spec=found.spec, reader=output_readers.output_reader(found))
    return loaded_model.LoadedModel(on_cpu, metadata=found, device="cpu")


def classes(outputs: list[bytes]) -> list[str]:
    return [json.loads(output)["predicted_class"] for output in outputs]


def test_an_exported_version_answers_each_image_with_its_own_output(tmp_path: Path) -> None:
    model = loaded(saved(first_pixels(), tmp_path / "model"))
    model.warm_up(8)
    order = [3, 0, 0, 2, 1, 3, 2]
    assert classes(model.predict([pointing_at(index) for index in order])) == [f"pixel {index}" for index in order]
    assert classes(model.predict([pointing_at(2)])) == ["pixel 2"]
    assert model.spec == ImageSpec.from_metadata(METADATA["image"])
    assert (model.labels, model.top_k, model.device) == (tuple(LABELS), 4, "cpu")


def test_a_pickled_version_predicts_the_same_as_the_exported_one(tmp_path: Path) -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8))
    exported = loaded(saved(network(), tmp_path / "exported"))
    pickled = loaded(saved(network(), tmp_path / "pickled", serialization_format="pickle"))
    assert pickled.predict(images) == exported.predict(images)


def test_the_model_gets_the_tensor_that_torchvision_would_make() -> None:
    seen: list[torch.Tensor] = []

    def forward(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch)
        return torch.zeros(len(batch), len(LABELS))

    images = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    made(forward).predict(list(images))
    functional = deferred("torchvision.transforms.functional")
    tensors = functional.convert_image_dtype(torch.from_numpy(images).permute(0, 3, 1, 2), torch.float)
    expected = functional.normalize(tensors, METADATA["image"]["mean"], METADATA["image"]["std"])
    assert [batch.is_contiguous() for batch in seen] == [False, True]  # the first batch is passed in both formats
    for batch in seen:
        torch.testing.assert_close(batch, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("images", [1, 2, 3, 7])
def test_a_fixed_batch_size_is_served_in_chunks_of_that_size(tmp_path: Path, size: int, images: int) -> None:
    model = loaded(saved(first_pixels(), tmp_path / "model", batch=size, free=False))
    model.warm_up(4)
    order = [index % 4 for index in range(images)]
    assert classes(model.predict([pointing_at(index) for index in order])) == [f"pixel {index}" for index in order]


def test_logits_become_probabilities_unless_the_metadata_says_they_are() -> None:
    def forward(batch: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[0.1, 0.2, 0.3, 0.4]]).expand(len(batch), -1)

    [softmax] = made(forward).predict([pointing_at(0)])
    [none] = made(forward, activation="none").predict([pointing_at(0)])
    assert json.loads(none)["confidence"] == 0.4
    assert sum(json.loads(softmax)["probabilities"].values()) == pytest.approx(1, abs=3e-6)
    assert json.loads(softmax)["confidence"] == pytest.approx(0.289, abs=0.001)


@pytest.mark.parametrize(
    "forward",
    [
        lambda batch: (torch.eye(4)[: len(batch)],),
        lambda batch: [list(row) for row in np.eye(4)[: len(batch)]],
        lambda batch: {"extra": torch.zeros(1), "logits": torch.eye(4)[: len(batch)]},
        lambda batch: np.eye(4)[: len(batch)],
    ],
)
def test_scores_are_found_in_what_a_forward_pass_returns(forward: Any) -> None:
    assert classes(made(forward).predict([pointing_at(0)] * 3)) == LABELS[:3]


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda batch: torch.zeros(len(batch), 3), "4 labels"),
        (lambda batch: torch.zeros(len(batch) - 1, 4), "answers 2 images"),
        (lambda batch: torch.zeros(len(batch) + 1, 4), "answers 2 images"),
        (lambda batch: torch.tensor(1.0), "answers 2 images"),  # noqa: ARG005
        (lambda batch: torch.zeros(len(batch), 4, 2, 2), "4 labels"),
        (lambda batch: ["cat"] * len(batch), "not with numbers"),
        (
            lambda batch: (torch.eye(4)[: len(batch)], torch.zeros(len(batch), 7)),
            r"the model has 2 outputs, 0 \[2, 4\], 1 \[2, 7\]: say which counts with `output`",
        ),
        (lambda batch: {"a": torch.zeros(2, 4), "b": torch.zeros(2, 4)}, "2 outputs, 'a' .*, 'b'"),  # noqa: ARG005
    ],
)
def test_a_forward_pass_with_another_result_is_a_model_error(forward: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        made(forward).predict([pointing_at(0), pointing_at(1)])


def test_the_head_that_counts_is_named_in_the_metadata() -> None:
    def forward(batch: torch.Tensor) -> Any:
        return {"ages": torch.zeros(len(batch), 7), "classes": torch.eye(4)[: len(batch)]}

    for output in ("classes", 1):
        assert classes(made(forward, output=output).predict([pointing_at(0)] * 3)) == LABELS[:3]
    with pytest.raises(ModelError, match=r"`output` is 'faces', and the model has 'ages' .*, 'classes' "):
        made(forward, output="faces").predict([pointing_at(0)])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_row_that_is_not_finite_fails_alone_but_no_version_with_such_rows_serves(bad: float) -> None:
    def forward(batch: torch.Tensor) -> torch.Tensor:
        scores = batch[:, 0, 0, :4].clone()
        scores[scores[:, 2] > 0] = bad
        return scores

    good, failed, other = made(forward).predict([pointing_at(0), pointing_at(2), pointing_at(3)])
    assert classes([good, other]) == ["pixel 0", "pixel 3"]
    assert isinstance(failed, ModelError)
    assert "not finite" in str(failed)
    with pytest.raises(ModelError, match="not finite"):
        made(forward).warm_up(2)


@pytest.mark.parametrize(
    ("scores", "metadata", "warned"),
    [
        ([0.1, 0.2, 0.3, 0.4], {}, True),
        ([0.1, 0.2, 0.3, 0.4], {"activation": "none"}, False),
        ([0.1, 0.2, 0.3, 0.5], {}, False),
        ([2.0, -1.0, 0.0, 0.0], {}, False),
        ([0.9, 0.8, 0.1, 0.7] * 5, {"task": "multilabel", "labels": [*"abcdefghijklmnopqrst"]}, True),
        ([0.9, -0.8, 0.1, 0.7] * 5, {"task": "multilabel", "labels": [*"abcdefghijklmnopqrst"]}, False),
    ],
)
def test_a_version_that_answers_with_probabilities_already_is_warned_of(
    scores: list[float], metadata: dict[str, Any], *, warned: bool
) -> None:
    model = made(lambda batch: torch.tensor([scores]).expand(len(batch), -1), **metadata)
    model.warm_up(2)
    assert any("set activation: none" in warning for warning in model.warnings) is warned


@pytest.mark.parametrize("error", [lambda: torch.OutOfMemoryError("CUDA"), MemoryError])
def test_out_of_memory_is_distinguished_from_other_errors(error: Callable[[], Exception]) -> None:
    def forward(batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > 1:
            raise error()
        return torch.zeros(1, 4)

    model = made(forward)
    with pytest.raises(OutOfMemory):
        model.predict([pointing_at(0)] * 2)
    # A batch limit above what fits is the predictor's to lower, and no reason to refuse the version.
    model.warm_up(64)


def test_a_warm_up_gives_the_device_up_between_its_passes() -> None:
    passes: list[tuple[int, bool]] = []
    waited = threading.Event()

    def wait_for_device() -> None:
        with devices.device_lock("cpu"):
            waited.set()

    waiting = threading.Thread(target=wait_for_device)

    def forward(batch: torch.Tensor) -> torch.Tensor:
        if not passes:
            waiting.start()
        passes.append((len(batch), waited.is_set()))
        return torch.zeros(len(batch), 4)

    made(forward).warm_up(64)
    assert passes[0] == (1, False)
    assert passes[-1] == (64, True)


def test_a_failed_cpu_allocation_counts_as_out_of_memory() -> None:
    def forward(batch: torch.Tensor) -> torch.Tensor:
        return torch.empty(len(batch), 1 << 60, dtype=torch.uint8)

    with pytest.raises(OutOfMemory, match="allocate"):
        made(forward).predict([pointing_at(0)])


def test_another_error_of_the_forward_pass_passes_through() -> None:
    with pytest.raises(RuntimeError, match="must match"):
        made(lambda batch: batch + torch.zeros(1, 1, 1, 7)).predict([pointing_at(0)])


def test_warming_up_finds_labels_that_do_not_fit(tmp_path: Path) -> None:
    model = loaded(saved(network(), tmp_path / "model", metadata=METADATA | {"labels": ["a", "b"]}))
    with pytest.raises(ModelError, match="2 labels"):
        model.warm_up(4)


def test_a_version_without_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no image and no labels"):
        loaded(saved(network(), tmp_path / "model", metadata=None))


def test_an_exported_graph_moves_to_a_device_with_its_constants(tmp_path: Path) -> None:
    class WithConstant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.linear(images[:, 0, 0, :4]) + torch.arange(4, device="cpu")
            return scores

    path = saved(WithConstant().eval(), tmp_path / "model")
    module = torch_modules.load_exported(Path(path) / "data" / "model.pt2", device="meta")
    assert {parameter.device.type for parameter in module.parameters()} == {"meta"}
    assert module(torch.zeros(3, 3, SIDE, SIDE, device="meta")).device.type == "meta"


def test_exported_versions_are_loaded_in_several_threads_at_once(tmp_path: Path) -> None:
    # As the followers of several models do in one worker.
    path = saved(network(), tmp_path / "model")
    loaded(path)
    with ThreadPoolExecutor(4) as threads:
        models = list(threads.map(loaded, [path] * 12))
    assert len(models) == 12


def test_any_other_flavour_is_served_through_pyfunc(tmp_path: Path) -> None:
    images = [pointing_at(index % 4) for index in range(40)]
    pixels = np.stack(images).transpose(0, 3, 1, 2).reshape(40, -1).astype(np.float32) / 255
    classifier = deferred("sklearn.linear_model").LogisticRegression().fit(pixels, [index % 4 for index in range(40)])
    mlflow.sklearn.save_model(
        classifier,
        str(tmp_path / "model"),
        pyfunc_predict_fn="predict_proba",
        signature=mlflow.models.infer_signature(pixels, classifier.predict_proba(pixels)),
        metadata={"image": {"crop_size": SIDE}, "labels": LABELS, "activation": "none"},
        pip_requirements=["scikit-learn"],
        serialization_format="cloudpickle",
    )
    model = loaded(str(tmp_path / "model"))
    model.warm_up(4)
    assert classes(model.predict(images[:6])) == [f"pixel {index % 4}" for index in range(6)]


def test_a_signature_with_channels_last_gets_them_last(tmp_path: Path) -> None:
    class FirstPixelsOfTheFirstRow(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002  MLflow reads hints as a schema
            return model_input[:, 0, :4, 0]

    example = np.zeros((2, SIDE, SIDE, 3), np.float32)
    mlflow.pyfunc.save_model(
        str(tmp_path / "model"),
        python_model=FirstPixelsOfTheFirstRow(),
        input_example=example,
        signature=mlflow.models.infer_signature(example, np.zeros((2, 4), np.float32)),
        metadata=METADATA,
        pip_requirements=["numpy"],
    )
    model = loaded(str(tmp_path / "model"))
    assert classes(model.predict([pointing_at(3), pointing_at(1)])) == ["pixel 3", "pixel 1"]


def test_downloaded_files_are_deleted_when_nothing_needs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    loaded(saved(network(), tmp_path / "graph"))
    assert list(scratch.iterdir()) == []
    model = loaded(saved(network(), tmp_path / "pickled", serialization_format="pickle"))
    assert len(list(scratch.iterdir())) == 1
    del model
    assert list(scratch.iterdir()) == []


def test_auto_selects_a_gpu_if_there_is_one() -> None:
    assert devices.choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert devices.choose_device("cpu") == "cpu"


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_an_absent_device_is_an_invalid_setting(device: str) -> None:
    with pytest.raises(SettingsError, match="DARKROOM_PREDICT_DEVICE"):
        devices.choose_device(device)


def test_a_version_whose_passes_change_the_process_says_so_in_its_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(images: Any) -> Any:
        socket.setdefaulttimeout(1)
        return images[:, 0, 0, :4] * 10

    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    with process_settings.kept_while_reading(Path("/a version's folder"), threads=1):
        pass
    changing, quiet = made(forward), made(lambda images: images[:, 0, 0, :4] * 10)
    for model in (changing, quiet):
        model.warm_up(8)
    assert [one for one in changing.warnings if "the default timeout of sockets" in one and "undone" in one]
    assert not [one for one in quiet.warnings if "undone" in one]
