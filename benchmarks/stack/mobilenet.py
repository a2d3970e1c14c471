"""A model that costs milliseconds an image: torchvision's mobilenet_v3_small at 224x224, random weights.

`python -m benchmarks.stack.mobilenet` registers it as `mobilenet` with the alias `champion`;
MLflow's environment says where.
"""

import mlflow.pytorch
import numpy as np
import torch
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torchvision.models import MobileNetV3, mobilenet_v3_small

from benchmarks.load.images import photographs
from benchmarks.stack.preset import Preset
from benchmarks.workbench import MOBILENET

CLASSES = 1000
_IMAGE = {
    "resize_size": [256],
    "crop_size": [224],
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
_SHAPE = (3, 224, 224)


def make() -> MobileNetV3:
    """Return the model, each time with the same weights.

    Random weights see one class in every picture. The last layer is moved and stretched so that pictures differ in
    class, by margins that a sum in another order does not tip: otherwise comparing classes would prove nothing.
    """
    torch.manual_seed(0)
    model: MobileNetV3 = mobilenet_v3_small(num_classes=CLASSES).eval()
    with torch.inference_mode():
        scores = model(_pictures(16))
    last = model.classifier[-1]
    stretch = 3 / scores.std(dim=0).mean()
    with torch.no_grad():
        last.bias.sub_(scores.mean(dim=0)).mul_(stretch)
        last.weight.mul_(stretch)
    return model


def register() -> None:
    """Put it into the registry. Repeated, it adds a version and moves the alias."""
    # Two images: torch.export takes a dimension of one for fixed.
    example = np.zeros((2, *_SHAPE), dtype=np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(example.dtype, (-1, *_SHAPE))]),
        outputs=Schema([TensorSpec(example.dtype, (-1, CLASSES))]),
    )
    with mlflow.start_run():
        logged = mlflow.pytorch.log_model(
            make(),
            name=MOBILENET,
            input_example=example,
            signature=signature,
            serialization_format="pt2",
            metadata={"image": _IMAGE, "labels": [f"class-{number}" for number in range(CLASSES)]},
            registered_model_name=MOBILENET,
            pip_requirements=["torch"],
        )
    MlflowClient().set_registered_model_alias(MOBILENET, "champion", str(logged.registered_model_version))


def _pictures(count: int) -> torch.Tensor:
    """Return photograph-like pictures as the model gets them, (count, channels, height, width)."""
    preset = Preset.from_metadata(_IMAGE)
    return preset.batch([preset.pixels(image) for image in photographs(count, seed=1)])


if __name__ == "__main__":
    register()
