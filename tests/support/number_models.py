"""A model of each task that reads a picture's number back, registered by `main`.

A picture is of one colour, whose three bytes are the number. Each model is registered under its task's name; `expected`
says what it answers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from PIL import Image

from shared.domain.task import Task
from tests.support.pictures import encoded

WIDTH, HEIGHT, SIDE = 16, 12, 8
"""Pixels of a picture, and of a model's input."""
BROKEN: Final = 13
"""The number at which the JSON model answers with what is no object."""
LABELS: Final = ["none", "cat", "dog", "bird"]
METADATA: Final[dict[Task, dict[str, Any]]] = {
    Task.CLASSIFICATION: {"labels": LABELS, "activation": "none"},
    Task.MULTILABEL: {"labels": LABELS, "activation": "none"},
    Task.REGRESSION: {"values": ["number", ["length", "cm"]]},
    Task.EMBEDDING: {},
    Task.DETECTION: {"labels": LABELS},
    Task.SEGMENTATION: {"labels": LABELS},
    Task.JSON: {},
}


def picture(number: int) -> bytes:
    """Return the PNG of a number."""
    return encoded(Image.new("RGB", (WIDTH, HEIGHT), (number >> 16, number >> 8 & 255, number & 255)), "PNG")


def expected(task: Task, number: int) -> dict[str, Any]:  # noqa: PLR0911  one a task
    """Return what the task's model answers for a picture, but for a mask's PNG."""
    label = LABELS[number % 4]
    match task:
        case Task.CLASSIFICATION:
            scores = {name: float(name == label) for name in LABELS}
            return {"predicted_class": label, "predicted_index": number % 4, "confidence": 1.0, "probabilities": scores}
        case Task.MULTILABEL:
            scores = {name: float(number >> bit & 1) for bit, name in enumerate(LABELS)}
            return {"predicted_classes": [name for name in LABELS if scores[name]], "scores": scores}
        case Task.REGRESSION:
            return {"values": {"number": float(number), "length": number / 4}, "units": {"length": "cm"}}
        case Task.EMBEDDING:
            return {"dimensions": 3, "embedding": [float(number), number / 4, -1.0]}
        case Task.DETECTION:
            # In the input's pixels 0, 0, 4, 4; the picture is twice as wide and one and a half times as high.
            box = [0.0, 0.0, 8.0, 6.0]
            return {"detections": [{"label": label, "score": 0.75, "box": box}] * (number % 3)}
        case Task.SEGMENTATION:
            share = {"label": label, "index": number % 4, "share": 1.0}
            return {"width": WIDTH, "height": HEIGHT, "classes": [share]}
        case Task.JSON:
            return {"number": number, "text": f"{number}; =1+1", "nested": [{"a": None}] * (number % 3)}


def _answers(task: Task, numbers: Any) -> Any:  # noqa: PLR0911  one a task
    """Return what a model answers for a micro-batch of numbers."""
    import numpy as np  # noqa: PLC0415  tests that import this module need none of it

    match task:
        case Task.CLASSIFICATION:
            return np.eye(4, dtype=np.float32)[numbers % 4]
        case Task.MULTILABEL:
            return (numbers[:, None] >> np.arange(4) & 1).astype(np.float32)
        case Task.REGRESSION:
            return np.stack([numbers, numbers / 4], axis=1).astype(np.float32)
        case Task.EMBEDDING:
            return np.stack([numbers, numbers / 4, -np.ones(len(numbers))], axis=1).astype(np.float32)
        case Task.DETECTION:
            return [
                {
                    "boxes": np.tile(np.float32([0, 0, 4, 4]), (number % 3, 1)),
                    "labels": np.full(number % 3, number % 4),
                    "scores": np.full(number % 3, 0.75, np.float32),
                }
                for number in numbers.tolist()
            ]
        case Task.SEGMENTATION:
            return np.tile((numbers % 4)[:, None, None], (1, SIDE, SIDE)).astype(np.int64)
        case Task.JSON:
            return ["no object" if number == BROKEN else expected(task, number) for number in numbers.tolist()]


def main(registry: str) -> None:
    """Log the models and make each the champion of its name; artifacts lie beside the registry's file."""
    import mlflow.pyfunc  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    answer: Callable[[Task, Any], Any] = _answers

    class Numbers(mlflow.pyfunc.PythonModel):
        """Pictures (n, 3, SIDE, SIDE) in 0..1 to the answers of a task."""

        def __init__(self, task: str) -> None:
            self.task = task

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002  MLflow's form
            colours = np.rint(np.asarray(model_input)[:, :, 0, 0] * 255).astype(np.int64)
            return answer(Task(self.task), colours @ np.array([65_536, 256, 1]))

    mlflow.set_tracking_uri(registry)
    client = MlflowClient(registry, registry)
    folder = Path(registry.removeprefix("sqlite:///")).parent / "artifacts"
    experiment = client.create_experiment("tasks", artifact_location=folder.as_uri())
    for task, metadata in METADATA.items():
        with mlflow.start_run(experiment_id=experiment):
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=Numbers(str(task)),
                metadata={"task": str(task), "image": {"resize_size": [SIDE, SIDE]}} | metadata,
                pip_requirements=["numpy"],
            )
        client.create_registered_model(str(task))
        version = client.create_model_version(str(task), f"models:/{logged.model_id}", model_id=logged.model_id)
        client.set_registered_model_alias(str(task), "champion", version.version)
