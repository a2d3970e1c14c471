"""Loads a model version from the MLflow registry: torch models as such, every other flavour through `mlflow.pyfunc`."""

import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export.passes import move_to_device_pass

from shared.settings import Registry
from worker.models.cpu.forward import Forward
from worker.models.cpu.loading import OnCpu, put_on_cpu
from worker.models.devices import is_gpu
from worker.models.gpu.loading import put_on_gpu
from worker.models.loaded_model import LoadedModel
from worker.models.mlflow_setup import configure_mlflow_client
from worker.models.model_metadata import NO_TAGS, ModelMetadata

_READING = threading.Lock()
"""Held while a version's files are read: torch keeps the exported program that it reads in a global.

Where a worker read those of two models at once, one failed with an AssertionError and was tried again later.
"""


def load(
    uri: str,
    *,
    registry: Registry,
    device: str,
    threads: int,
    max_pixels: int,
    tags: Mapping[str, str] = NO_TAGS,
) -> LoadedModel:
    """Return the version behind an MLflow URI such as `models:/digits/3`; not warmed up.

    `tags` are the model version's in the registry, which override some of its metadata.

    Raises ModelError for metadata that is incomplete or wrong, and whatever MLflow and torch raise for files they can't
    get or read. `threads`, those of a forward pass, is a setting of the whole process: the last call counts.
    """
    configure_mlflow_client(registry)
    import mlflow  # noqa: PLC0415  reads its environment when imported
    import mlflow.artifacts  # noqa: PLC0415
    from mlflow.models import Model  # noqa: PLC0415

    # MLflow resolves `models:/` by these settings of the process, whatever registry a call names.
    mlflow.set_tracking_uri(registry.url)
    mlflow.set_registry_uri(registry.url)
    torch.set_num_threads(threads)
    folder = Path(tempfile.mkdtemp(prefix="darkroom-model-"))
    try:
        path = mlflow.artifacts.download_artifacts(
            uri, dst_path=str(folder), tracking_uri=registry.url, registry_uri=registry.url
        )
        description = Model.load(path)
        metadata = ModelMetadata.from_metadata(description.metadata, tags)
        if "pytorch" in description.flavors:
            data = Path(path) / description.flavors["pytorch"]["model_data"]
            with _READING:
                module, batch_size = _load_torch(path, data, device=device)
            in_memory = isinstance(module, torch.fx.GraphModule)
            model = _torch_version(module, metadata, device=device, batch_size=batch_size, max_pixels=max_pixels)
        else:
            with _READING:
                pyfunc = _load_pyfunc(path, metadata)
            in_memory = False
            on_cpu = put_on_cpu(pyfunc, metadata=metadata, batch_size=None, max_pixels=max_pixels)
            model = _cpu_version(on_cpu, metadata, device=device)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if in_memory:
        # A graph has no code or files of its own, and a process that is killed would leave its files behind.
        shutil.rmtree(folder, ignore_errors=True)
    else:
        # The model's own code is imported from there, and some flavours read their files when they predict.
        weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
    return model


def _torch_version(
    module: torch.nn.Module, metadata: ModelMetadata, *, device: str, batch_size: int | None, max_pixels: int
) -> LoadedModel:
    """Return the version with its forward pass on the device, in the decoding and precision it is to have."""
    if is_gpu(device):
        on_gpu = put_on_gpu(
            module, forward_of, metadata=metadata, device=device, batch_size=batch_size, max_pixels=max_pixels
        )
        return LoadedModel(
            on_gpu.forward, metadata=metadata, device=device, mode=on_gpu.mode, fast_decoder=on_gpu.decoder
        )
    on_cpu = put_on_cpu(
        forward_of(module), metadata=metadata, batch_size=batch_size, max_pixels=max_pixels, module=module
    )
    return _cpu_version(on_cpu, metadata, device=device)


def _cpu_version(on_cpu: OnCpu, metadata: ModelMetadata, *, device: str) -> LoadedModel:
    """Return the version with its forward pass on the CPU; `device` is the worker's, which may be a GPU."""
    return LoadedModel(on_cpu.forward, metadata=metadata, device=device, mode=on_cpu.mode, fast_decoder=on_cpu.decoder)


def forward_of(module: torch.nn.Module) -> Forward:
    """Return a module's forward pass.

    Calling an exported module instead would add input checks that the graph's guards repeat: 45 microseconds.
    """
    return module.forward if isinstance(module, torch.fx.GraphModule) else module


def _load_torch(path: str, data: Path, *, device: str) -> tuple[torch.nn.Module, int | None]:
    """Return a torch version's module on the device, and its batch size if the exported graph fixes that."""
    import mlflow.pytorch  # noqa: PLC0415
    from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION  # noqa: PLC0415

    exported = data / "model.pt2"
    if not exported.exists():
        return mlflow.pytorch.load_model(path, map_location=device).eval(), None
    module: Any = None
    if not is_gpu(device) or not MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get():  # type: ignore[no-untyped-call]
        # Through MLflow even where the result can't be used as it is: it refuses what its settings forbid.
        module = mlflow.pytorch.load_model(path)
    if is_gpu(device):
        module = load_exported(exported, device=device)
    return module, _fixed_batch_size(module)


def load_exported(file: Path, *, device: str) -> torch.nn.Module:
    """Return an exported program's module on `device`.

    `.to(device)` alone would not change the devices that are written in the graph.
    """
    return move_to_device_pass(torch.export.load(file), device).module()


def _fixed_batch_size(module: torch.fx.GraphModule) -> int | None:
    """Return the size of the first input's first dimension if the graph fixes it."""
    first = next(node for node in module.graph.nodes if node.op == "placeholder")
    size = first.meta["val"].shape[0] if "val" in first.meta else None
    return size if isinstance(size, int) else None


def _load_pyfunc(path: str, metadata: ModelMetadata) -> Forward:
    """Return the forward pass of any other flavour, which takes a float32 array in its signature's layout."""
    import mlflow.pyfunc  # noqa: PLC0415

    model = mlflow.pyfunc.load_model(path)
    schema = model.metadata.get_input_schema()
    tensors = schema.inputs if schema is not None and schema.is_tensor_spec() else []
    shape = tuple(tensors[0].shape) if tensors else ()
    channels = metadata.spec.mode.channels

    def forward(batch: torch.Tensor) -> object:
        array = batch.cpu().numpy()
        if len(shape) == 4 and shape[3] == channels != shape[1]:  # noqa: PLR2004  channels last, as Keras wants
            return model.predict(np.ascontiguousarray(array.transpose(0, 2, 3, 1)))
        array = np.ascontiguousarray(array)
        return model.predict(array.reshape(len(array), -1) if len(shape) == 2 else array)  # noqa: PLR2004  features

    return forward
