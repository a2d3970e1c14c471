"""Puts models into a registry that is a folder: `python -m benchmarks.gpu.registration FOLDER MODEL...`.

Written as MLflow's own client writes them, but for three steps of `log_model` that took 20 of its 28 s for resnet50 on
two cores: predicting an input example with the version loaded again (15 s), reading every installed package's list of
files to check `requirements.txt` (4 s); and the registry is no database, whose tables take 11 s to make.
Beside each model lies `MODEL.classes.json`: what it says of each image, predicted here in float32 from Pillow's pixels.
"""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Final

import mlflow
import torch
from mlflow import MlflowClient
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from benchmarks.gpu.architectures import architecture, batch_of, make_model, spread_classes
from benchmarks.gpu.subjects import image_file
from benchmarks.load import image_files

_PICTURES: Final = 16
"""Pictures over which classes are spread."""
_AT_ONCE: Final = 32


def register(folder: Path, name: str) -> None:
    """Make, export and register a model as `champion`, unless it was; write its classes."""
    if classes_file(folder, name).exists():
        return
    images = image_files.read(image_file(folder, name))
    model = make_model(name)
    spread_classes(model, batch_of(name, images[:_PICTURES]))
    files = folder / "models" / name
    shutil.rmtree(files, ignore_errors=True)
    _write(model, name, files, example=batch_of(name, images[:2]))
    client = MlflowClient(registry_url(folder), registry_url(folder))
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)
    version = client.create_model_version(name, files.as_uri())
    client.set_registered_model_alias(name, "champion", version.version)
    classes_file(folder, name).write_text(json.dumps(_classes(model, name, images)))


def registry_url(folder: Path) -> str:
    """Return the registry's address; MLflow takes it where MLFLOW_ALLOW_FILE_STORE is true."""
    return (folder / "registry").resolve().as_uri()


def classes_file(folder: Path, name: str) -> Path:
    """Return where the expected classes of a model's images are."""
    return folder / f"{name}.classes.json"


def _write(model: torch.nn.Module, name: str, files: Path, *, example: torch.Tensor) -> None:
    """Write the exported program, any batch size, and its `MLmodel` file."""
    (files / "data").mkdir(parents=True)
    with torch.no_grad():
        exported = torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.export.save(exported, files / "data" / "model.pt2")
    made = architecture(name)
    inputs, outputs = ((-1, *example.shape[1:]), (-1, made.classes))
    kind = example.numpy().dtype
    description = Model(
        signature=ModelSignature(
            inputs=Schema([TensorSpec(kind, inputs)]), outputs=Schema([TensorSpec(kind, outputs)])
        ),
        metadata={"image": made.image, "labels": [f"class-{number}" for number in range(made.classes)]},
    )
    description.add_flavor("pytorch", model_data="data", pytorch_version=str(torch.__version__), code=None)
    description.save(str(files / "MLmodel"))


def _classes(model: torch.nn.Module, name: str, images: list[bytes]) -> list[str]:
    """Return the class of each image."""
    found: list[int] = []
    with torch.inference_mode():
        for first in range(0, len(images), _AT_ONCE):
            found += model(batch_of(name, images[first : first + _AT_ONCE])).argmax(dim=1).tolist()
    return [f"class-{number}" for number in found]


def main() -> None:
    """Register what is named, and say how long each took."""
    folder = Path(sys.argv[1])
    # Some of the client's calls go to the process's own tracking store, which else would be a new database here.
    mlflow.set_tracking_uri(registry_url(folder))
    mlflow.set_registry_uri(registry_url(folder))
    for name in sys.argv[2:]:
        started = time.monotonic()
        register(folder, name)
        print(f"{name} {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
