"""A small model of each task, as a torch module and as a PythonModel: the first four red pixels say what it answers.

`main` registers one of each of some tasks, as `lit-TASK`, in a registry in a file.
"""

from pathlib import Path
from typing import Any, Final

import mlflow.pyfunc
import mlflow.pytorch
import numpy as np
import torch
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient
from torch import nn

SIDE: Final = 8
LABELS: Final = ["zero", "one", "two", "three"]
METADATA: Final[dict[str, dict[str, Any]]] = {
    "classification": {"labels": LABELS},
    "multilabel": {"labels": LABELS},
    "regression": {"values": [["width", "mm"], "depth"]},
    "embedding": {"normalize": True},
    "detection": {"labels": LABELS, "output": {"boxes": "places", "labels": "kinds", "scores": "scores"}},
    "segmentation": {"labels": ["dark", "lit"]},
    "json": {},
}
"""What each model says of itself beside its task and image."""


def answer(task: str, lit: Any) -> Any:
    """Return what a model of the task answers for the first four red pixels of each image, from 0 to 1."""
    match task:
        case "classification" | "multilabel":
            return (lit - 0.5) * 10
        case "regression":
            return lit[:, 1:3] * 3
        case "embedding":
            return lit * 7
    return {"lit": lit}


class TaskModule(nn.Module):
    """Answers with tensors whose first dimension is the images'."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task

    def forward(self, images: torch.Tensor) -> Any:
        """Take (images, 3, height, width)."""
        lit = images[:, 0, 0, :4]
        if self.task == "detection":
            # Four boxes side by side, two pixels wide; the score of each is its pixel.
            left = torch.arange(4.0) * 2
            boxes = torch.stack([left, left * 0, left + 2, left * 0 + 8], dim=1)
            kinds = torch.arange(4).expand(len(lit), -1)
            return {"places": boxes.expand(len(lit), -1, -1), "kinds": kinds, "scores": lit, "more": lit}
        if self.task == "segmentation":
            return {"out": torch.stack([0.5 - images[:, 0], images[:, 0] - 0.5], dim=1), "aux": images}
        return answer(self.task, lit)


class TaskPythonModel(mlflow.pyfunc.PythonModel):
    """Answers with arrays, or with a list of one thing an image."""

    def __init__(self, task: str) -> None:
        self.task = task

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG002  MLflow reads hints as a schema
        """Take (images, 3, height, width)."""
        lit = model_input[:, 0, 0, :4]
        if self.task == "detection":  # only the boxes that there are, as torchvision's detectors answer
            return [
                {
                    "places": np.array([[2 * n, 0, 2 * n + 2, 8] for n in np.flatnonzero(row)]),
                    "kinds": np.flatnonzero(row),
                    "scores": row[row > 0],
                }
                for row in lit
            ]
        if self.task == "segmentation":
            return (model_input[:, 0] > 0.5).astype(np.int64)
        if self.task == "json":
            # A picture whose first pixel is as green and blue as can be has a number that JSON has no word for.
            bad = (model_input[:, 1:, 0, 0] > 0.999).all(axis=1)
            numbers = np.where(bad, np.nan, 0.0).tolist()
            return [{"lit": row.tolist(), "number": number} for row, number in zip(lit, numbers, strict=True)]
        return answer(self.task, lit)


class ListDetector(nn.Module):
    """Takes a list of images and answers with losses and detections, as torchvision's detectors do as TorchScript."""

    def forward(self, images: list[torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
        """Take so many (3, height, width)."""
        losses: dict[str, torch.Tensor] = {}
        found: list[dict[str, torch.Tensor]] = []
        for image in images:
            kinds = torch.nonzero(image[0, 0, :4] > 0.5)[:, 0]
            left = kinds * 2.0
            boxes = torch.stack([left, left * 0, left + 2, left * 0 + 8], dim=1)
            found.append({"places": boxes, "kinds": kinds, "scores": image[0, 0, :4][kinds]})
        return losses, found


def save(path: str, task: str, form: str, **metadata: Any) -> None:
    """Save a model as MLflow would log it: as `pickle`, `pt2` or `pyfunc`."""
    image = {"resize_size": [SIDE, SIDE], "interpolation": "box"}
    options: dict[str, Any] = {
        "metadata": {"image": image, "task": task} | METADATA[task] | metadata,
        "pip_requirements": ["torch"],
    }
    if form == "pyfunc":
        mlflow.pyfunc.save_model(path, python_model=TaskPythonModel(task), **options)
        return
    example = np.zeros((2, 3, SIDE, SIDE), np.float32)
    mlflow.pytorch.save_model(
        TaskModule(task).eval(),
        path,
        input_example=example,
        signature=infer_signature(example),
        serialization_format=form,
        **options,
    )


def main(registry: str, *tasks: str) -> None:
    """Register a model of each of the tasks and make it champion; their files lie beside the registry's."""
    mlflow.set_tracking_uri(registry)
    client = MlflowClient(registry, registry)
    for task in tasks:
        path = Path(registry.removeprefix("sqlite:///")).parent / f"model-{task}"
        save(str(path), task, "pyfunc" if task in ("detection", "json") else "pt2")
        client.create_registered_model(f"lit-{task}")
        version = client.create_model_version(f"lit-{task}", path.as_uri())
        client.set_registered_model_alias(f"lit-{task}", "champion", version.version)
