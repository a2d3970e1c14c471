"""On a CPU a model gets channels-last batches if it takes them; one that does not works as with contiguous ones."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shared.settings import Registry
from worker.models.channels_last import ChannelsLast
from worker.models.loading import load
from worker.models.mlflow_setup import configure_mlflow_client

with warnings.catch_warnings():
    # MLflow warns of its own type hints while it is imported.
    warnings.simplefilter("ignore")
    import mlflow.pytorch
    from mlflow.models import infer_signature

SIDE, CLASSES = 8, 5


class ViewsAcrossChannels(nn.Module):
    """Raises for channels-last: `view` merges dimensions that are not adjacent in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * SIDE * SIDE, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.linear(images.view(images.shape[0], 3 * SIDE * SIDE))
        return scores


class AssumesStrides(nn.Module):
    """Gives wrong scores for channels-last, without an error."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * SIDE * SIDE, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        size = 3 * SIDE * SIDE
        scores: torch.Tensor = self.linear(images.as_strided((images.shape[0], size), (size, 1)))
        return scores


class Convolutions(nn.Module):
    """Takes both, with scores equal but for rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, CLASSES),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(images)
        return scores


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    configure_mlflow_client(Registry())
    caplog.set_level(logging.INFO, logger="worker.models.channels_last")


def batch(images: int, channels: int = 3) -> torch.Tensor:
    torch.manual_seed(images)
    return torch.rand(images, SIDE, SIDE, channels).permute(0, 3, 1, 2)


def formats(
    forward: Callable[[torch.Tensor], torch.Tensor], seen: list[bool]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Note for each pass whether its batch was contiguous."""

    def noted(images: torch.Tensor) -> torch.Tensor:
        seen.append(images.is_contiguous())
        return forward(images)

    return noted


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__["reason"] for record in caplog.records if record.message == "channels_last_refused"]


def test_convolutions_get_channels_last(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model, seen = Convolutions().eval(), list[bool]()
    forward = ChannelsLast(formats(model, seen))
    for images in (1, 4, 1, 4):
        torch.testing.assert_close(forward(batch(images)), model(batch(images).contiguous()), rtol=1e-5, atol=1e-6)
    # One image and several are compared once each.
    assert seen == [False, True, False, True, False, False]
    assert refusals(caplog) == []


@pytest.mark.parametrize(("kind", "reason"), [(ViewsAcrossChannels, "RuntimeError: view"), (AssumesStrides, "other")])
def test_a_model_that_needs_contiguous_batches_gets_them(
    kind: type[nn.Module], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model, seen = kind().eval(), list[bool]()
    forward = ChannelsLast(formats(model, seen))
    for images in (1, 4, 4):
        torch.testing.assert_close(forward(batch(images)), model(batch(images).contiguous()))
    assert seen == [False, True, True, True]
    assert len(refusals(caplog)) == 1
    assert refusals(caplog)[0].startswith(reason)


@pytest.mark.parametrize("format", ["pt2", "pickle"])
@pytest.mark.parametrize("kind", [ViewsAcrossChannels, AssumesStrides, Convolutions])
def test_a_loaded_version_predicts_whatever_format_it_needs(kind: type[nn.Module], format: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = kind().eval()
    example = np.zeros((2, 3, SIDE, SIDE), np.float32)
    mlflow.pytorch.save_model(
        model,
        str(tmp_path / "model"),
        input_example=example,
        signature=infer_signature(example, model(torch.from_numpy(example)).detach().numpy()),
        serialization_format=format,
        metadata={
            "image": {"crop_size": SIDE},
            "labels": [str(number) for number in range(CLASSES)],
            "activation": "none",
        },
        pip_requirements=["torch"],
    )
    version = load(str(tmp_path / "model"), registry=Registry(url="sqlite://"), device="cpu", threads=1)
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

    forward = ChannelsLast(formats(refuses_dark, seen))
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
        ChannelsLast(fails)(batch(2))
    assert passes == 1


def test_one_channel_needs_no_comparison() -> None:
    seen: list[bool] = []
    ChannelsLast(formats(lambda images: images[:, 0, 0], seen))(batch(3, channels=1))
    assert seen == [True]
