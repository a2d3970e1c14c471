"""Register three versions of a model that reads a picture's number back: `python -m tests.soak.model REGISTRY_URL`.

A version answers with the number plus its own version, so an answer tells which version gave it and to which picture.
The third, which only pipelines ask, raises for some pictures.
"""

import sys
from typing import Any

NAME = "numbers"
VERSIONS = ("1", "2", "3")


def main(registry: str) -> None:
    """Log all and make the first one champion."""
    import mlflow.pyfunc  # noqa: PLC0415  who imports the name needs none of these
    import numpy as np  # noqa: PLC0415
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    from tests.soak.pictures import CLASSES, FAILING  # noqa: PLC0415

    class Numbers(mlflow.pyfunc.PythonModel):
        """Pictures (n, 3, 1, 1) in 0..1 to scores (n, CLASSES): 1 for the right class."""

        def __init__(self, version: int, classes: int, failing: int) -> None:
            self.version, self.classes, self.failing = version, classes, failing

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002  MLflow's form
            pixels = np.rint(np.asarray(model_input) * 255).astype(int).reshape(-1, 3)
            numbers = pixels @ (65_536, 256, 1)
            # Never for the noise with which a version is tried: the first of it is a large number.
            if self.version == 3 and (numbers < 2**22).all() and not (numbers % self.failing).all():
                raise ValueError("a number that this version does not take")
            right = (numbers + self.version) % self.classes
            return np.eye(self.classes, dtype=np.float32)[right]

    mlflow.set_tracking_uri(registry)
    client = MlflowClient(registry, registry)
    labels = [str(number) for number in range(CLASSES)]
    metadata = {"image": {"crop_size": [1]}, "labels": labels, "top_k": 1, "activation": "none"}
    client.create_registered_model(NAME)
    for version in VERSIONS:
        with mlflow.start_run():
            model = Numbers(int(version), CLASSES, FAILING)
            logged = mlflow.pyfunc.log_model(name="model", python_model=model, metadata=metadata, pip_requirements=[])
        made = client.create_model_version(NAME, f"models:/{logged.model_id}", model_id=logged.model_id)
        if str(made.version) != version:
            raise RuntimeError(f"the registry called version {version} {made.version}")
    client.set_registered_model_alias(NAME, "champion", VERSIONS[0])
    # Predicts every image that the other version answers as champion.
    client.set_registered_model_alias(NAME, "shadow", VERSIONS[1])
    client.set_registered_model_tag(NAME, "darkroom.shadow_percent", "100")


if __name__ == "__main__":
    main(sys.argv[1])
