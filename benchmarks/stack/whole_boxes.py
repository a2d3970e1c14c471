"""A detector that costs next to nothing: one box an image, the whole of it, so that a crop is the image itself.

`python -m benchmarks.stack.whole_boxes` registers it as `boxes` with the alias `champion`; MLflow's environment says
where.
"""

from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow import MlflowClient

from darkroom_contract import contract

NAME = "boxes"
SIDE = 32
_IMAGE = {"resize_size": [SIDE], "crop_size": [SIDE]}


class WholeBoxes(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """One detection an image."""

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG002  MLflow reads hints as a schema
        """Return boxes, scores and labels of each of (images, 3, SIDE, SIDE)."""
        boxes, scores, labels = np.array([[0, 0, 32, 32]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64)
        return [{"boxes": boxes, "scores": scores, "labels": labels} for _ in model_input]


def register() -> None:
    """Put it into the registry."""
    metadata: dict[str, Any] = contract(image=_IMAGE, labels=["digit"], task="detection")
    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(
            name=NAME, python_model=WholeBoxes(), registered_model_name=NAME, metadata=metadata, pip_requirements=[]
        )
    MlflowClient().set_registered_model_alias(NAME, "champion", str(logged.registered_model_version))


if __name__ == "__main__":
    register()
