"""Versions saved as their users log them, and loaded as a worker loads them."""

import importlib
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shared.settings import Registry
from tests.support.deferred_imports import deferred
from worker.models.registry.mlflow_setup import configure_mlflow_client

torch = deferred("torch")
loading = deferred("worker.models.loading")

SIDE = 8
LABELS = ["cat", "dog", "owl", "yak"]
IMAGE: dict[str, Any] = {"crop_size": SIDE, "mean": [0.2, 0.3, 0.4], "std": [0.5, 0.6, 0.7]}


@pytest.fixture(scope="session", autouse=True)
def _mlflow() -> None:
    configure_mlflow_client(Registry())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, of its own type hints
        for module in ("mlflow.pyfunc", "mlflow.pytorch", "mlflow.sklearn", "mlflow.models"):
            importlib.import_module(module)


@pytest.fixture
def quiet() -> Any:
    """Let libraries warn while they save and load: of their own files and releases."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def load(quiet: None) -> Callable[..., Any]:  # noqa: ARG001  it is in force meanwhile
    """Load a version from its folder."""

    def load(path: Any, **tags: str) -> Any:
        return loading.load(
            str(path),
            registry=Registry(url="sqlite://"),
            device="cpu",
            threads=1,
            max_pixels=1_000_000,
            tags={f"darkroom.{name}": value for name, value in tags.items()},
        )

    return load


@pytest.fixture
def images() -> list[Any]:
    """Pixels as they are decoded, of more images than a small batch has."""
    return list(np.random.default_rng(1).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8))


@pytest.fixture
def batch(images: list[Any]) -> Any:
    """The same images as the tensor that the presets make."""
    values = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(IMAGE[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    return (values - mean) / std


def network(classes: int = len(LABELS)) -> Any:
    """Make a small convolutional network."""
    nn = deferred("torch.nn")
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, classes)).eval()


def apart(outputs: list[bytes], expected: Any, labels: list[str] = LABELS) -> float:
    """Return the largest difference between answered and expected probabilities."""
    found = [json.loads(output)["probabilities"] for output in outputs]
    rows = np.array([[row[label] for label in labels] for row in found])
    return float(np.abs(rows - np.asarray(expected, dtype=np.float64)).max())
