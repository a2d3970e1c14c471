"""On a CPU a model gets channels-last batches if it takes them; one that does not works as with contiguous ones."""

import importlib
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.settings import Registry
from tests.support.deferred_imports import deferred
from worker.models.registry.mlflow_setup import configure_mlflow_client

torch = deferred("torch")
mlflow = deferred("mlflow")
networks = deferred("tests.support.networks")
channels_last = deferred("worker.models.cpu.channels_last")
loading = deferred("worker.models.loading")
# One process runs them all: only that one imports torch and MLflow.
pytestmark = pytest.mark.xdist_group("torch")

SIDE, CLASSES = 8, 5


@pytest.fixture(scope="module", autouse=True)
def _mlflow() -> None:
    with warnings.catch_warnings():
        # MLflow warns of its own type hints while it is imported.
        warnings.simplefilter("ignore")
        for module in ("mlflow.pytorch", "mlflow.models"):
            importlib.import_module(module)


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    configure_mlflow_client(Registry())
    caplog.set_level(logging.INFO, logger="worker.models.cpu.channels_last")


def batch(images: int, channels: int = 3) -> Any:
    torch.manual_seed(images)
    return torch.rand(images, SIDE, SIDE, channels).permute(0, 3, 1, 2)


def formats(forward: Callable[[Any], Any], seen: list[bool]) -> Callable[[Any], Any]:
    """Note for each pass whether its batch was contiguous."""

    def noted(images: torch.Tensor) -> torch.Tensor:
        seen.append(images.is_contiguous())
        return forward(images)

    return noted


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__["reason"] for record in caplog.records if record.message == "channels_last_refused"]


@pytest.mark.slow  # the first convolutions of a process take a second
def test_convolutions_get_channels_last(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model, seen = networks.Convolutions().eval(), list[bool]()
    forward = channels_last.ChannelsLast(formats(model, seen))
    for images in (1, 4, 1, 4):
        torch.testing.assert_close(forward(batch(images)), model(batch(images).contiguous()), rtol=1e-5, atol=1e-6)
    # One image and several are compared once each.
    assert seen == [False, True, False, True, False, False]
    assert refusals(caplog) == []


@pytest.mark.parametrize(
    ("kind", "reason"), [("ViewsAcrossChannels", "RuntimeError: view"), ("AssumesStrides", "other")]
)
def test_a_model_that_needs_contiguous_batches_gets_them(
    kind: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model, seen = getattr(networks, kind)().eval(), list[bool]()
    forward = channels_last.ChannelsLast(formats(model, seen))
    for images in (1, 4, 4):
        torch.testing.assert_close(forward(batch(images)), model(batch(images).contiguous()))
    assert seen == [False, True, True, True]
    assert len(refusals(caplog)) == 1
    assert refusals(caplog)[0].startswith(reason)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["pt2", "pickle"])
@pytest.mark.parametrize("kind", ["ViewsAcrossChannels", "AssumesStrides", "Convolutions"])
def test_a_loaded_version_predicts_whatever_format_it_needs(kind: str, format: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = getattr(networks, kind)().eval()
    example = np.zeros((2, 3, SIDE, SIDE), np.float32)
    mlflow.pytorch.save_model(
        model,
        str(tmp_path / "model"),
        input_example=example,
        signature=mlflow.models.infer_signature(example, model(torch.from_numpy(example)).detach().numpy()),
        serialization_format=format,
        metadata={
            "image": {"crop_size": SIDE},
            "labels": [str(number) for number in range(CLASSES)],
            "activation": "none",
        },
        pip_requirements=["torch"],
    )
    registry = Registry(url="sqlite://")
    version = loading.load(str(tmp_path / "model"), registry=registry, device="cpu", threads=1, max_pixels=1_000_000)
    version.warm_up(4)
    pixels = list(np.random.default_rng(1).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8))
    with torch.inference_mode():
        scores = model(torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy()).float() / 255).numpy()
    outputs = version.predict(pixels)
    for output, row in zip(outputs, scores, strict=True):
        assert f'"predicted_index":{row.argmax()}'.encode() in output


def test_an_image_that_the_model_raises_for_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[bool] = []

    def refuses_dark(images: torch.Tensor) -> torch.Tensor:
        if not images.any():
            raise ValueError("too dark")
        return images[:, 0, 0, :CLASSES]

    forward = channels_last.ChannelsLast(formats(refuses_dark, seen))
    forward(batch(1))
    with pytest.raises(ValueError, match="too dark"):
        forward(batch(1) * 0)
    seen.clear()
    forward(batch(1))
    assert seen == [False]
    assert refusals(caplog) == []


def test_a_full_memory_is_no_reason_for_another_format() -> None:
    passes = 0

    def fails(images: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
        nonlocal passes
        passes += 1
        raise MemoryError

    with pytest.raises(MemoryError):
        channels_last.ChannelsLast(fails)(batch(2))
    assert passes == 1


def test_one_channel_needs_no_comparison() -> None:
    seen: list[bool] = []
    channels_last.ChannelsLast(formats(lambda images: images[:, 0, 0], seen))(batch(3, channels=1))
    assert seen == [True]


def test_the_weights_are_in_the_format_of_the_batches() -> None:
    model = networks.Convolutions().eval()
    [convolution, *_] = model.layers

    def is_channels_last() -> bool:
        return bool(convolution.weight.is_contiguous(memory_format=torch.channels_last))

    forward = channels_last.ChannelsLast(model, module=model)
    with torch.inference_mode():
        expected = model(batch(4).contiguous())
        for _ in range(2):
            torch.testing.assert_close(forward(batch(4)), expected, rtol=1e-5, atol=1e-6)
    assert is_channels_last()


def test_weights_stay_contiguous_where_channels_last_is_refused() -> None:
    class ViewsItsWeights(networks.Convolutions):  # type: ignore[name-defined,misc]
        def forward(self, images: Any) -> Any:
            [convolution, *_] = self.layers
            return images.mean(dim=(2, 3)) @ convolution.weight.view(8, 27)[:5, :3].T

    model = ViewsItsWeights().eval()
    forward = channels_last.ChannelsLast(model, module=model)
    with torch.inference_mode():
        for _ in range(2):
            torch.testing.assert_close(forward(batch(4)), model(batch(4)))


def test_a_network_with_a_convolution_over_time_is_served(caplog: pytest.LogCaptureFixture) -> None:
    class OverTime(networks.Convolutions):  # type: ignore[name-defined,misc]
        """Its last weight has five dimensions, which no channels-last format is for."""

        def __init__(self) -> None:
            super().__init__()
            self.over_time = torch.nn.Conv3d(3, 3, (1, 3, 3), padding=(0, 1, 1))

        def forward(self, images: Any) -> Any:
            return super().forward(self.over_time(images.unsqueeze(2)).squeeze(2))

    model = OverTime().eval()
    [convolution, *_] = model.layers
    forward = channels_last.ChannelsLast(model, module=model)
    with torch.inference_mode():
        expected = model(batch(4).contiguous())
        torch.testing.assert_close(forward(batch(4)), expected, rtol=1e-5, atol=1e-6)
    assert refusals(caplog) == []
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
