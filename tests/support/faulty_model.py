"""Register a model that reads a picture's number back, and fails at pictures made for it: `python faulty_model.py URL`.

A picture is one pixel, whose three bytes are the number; those at which something goes wrong are ones no noise hits.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

NAME = "pixels"
CLASSES = 1000
RAISES, KILLS, SLOW = (255, 1, 2), (254, 1, 2), (253, 1, 2)
"""The colours at which it raises, ends its process, or takes SECONDS."""
SECONDS = 2.0
METADATA = {
    "image": {"crop_size": [1]},
    "labels": [str(number) for number in range(CLASSES)],
    "top_k": 1,
    "activation": "none",
}


def main(registry: str) -> None:
    """Log the model and make it champion; artifacts lie beside the registry's file."""
    import mlflow.pyfunc  # noqa: PLC0415  who imports the colours needs none of these
    import numpy as np  # noqa: PLC0415
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    class Pixels(mlflow.pyfunc.PythonModel):
        """Pictures (n, 3, 1, 1) in 0..1 to scores (n, CLASSES): 1 for the class that is the number's remainder."""

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002  MLflow's form
            pixels = np.rint(np.asarray(model_input) * 255).astype(int).reshape(-1, 3)
            colours = {tuple(pixel) for pixel in pixels.tolist()}
            time.sleep(SECONDS if SLOW in colours else 0.01)
            if KILLS in colours:
                os.kill(os.getpid(), signal.SIGKILL)
            if RAISES in colours:
                raise ValueError("no such picture")
            scores = np.zeros((len(pixels), CLASSES), np.float32)
            scores[np.arange(len(pixels)), pixels @ (65_536, 256, 1) % CLASSES] = 1
            return scores

    mlflow.set_tracking_uri(registry)
    client = MlflowClient(registry, registry)
    folder = Path(registry.removeprefix("sqlite:///")).parent / "artifacts"
    experiment = client.create_experiment(NAME, artifact_location=folder.as_uri())
    with mlflow.start_run(experiment_id=experiment):
        logged = mlflow.pyfunc.log_model(
            name="model", python_model=Pixels(), metadata=METADATA, pip_requirements=["numpy"]
        )
    client.create_registered_model(NAME)
    version = client.create_model_version(NAME, f"models:/{logged.model_id}", model_id=logged.model_id)
    client.set_registered_model_alias(NAME, "champion", version.version)


if __name__ == "__main__":
    main(sys.argv[1])
