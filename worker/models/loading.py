"""Loads a version from the MLflow registry: downloads its files, has its flavour read them, reads its metadata."""

import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.settings import Registry
from worker.models.cpu.loading import put_on_cpu
from worker.models.devices import is_gpu
from worker.models.errors import IncompleteMetadata, ModelError
from worker.models.flavours.loaded_flavour import LoadedFlavour
from worker.models.flavours.onnx import load_onnx
from worker.models.flavours.pyfunc import load_pyfunc
from worker.models.flavours.torch_modules import forward_of, load_torch
from worker.models.flavours.transformers import is_image_pipeline, load_transformers
from worker.models.gpu.loading import put_on_gpu
from worker.models.libraries import import_libraries
from worker.models.loaded_model import LoadedModel
from worker.models.lost_device import end_process_if_lost
from worker.models.metadata.model_metadata import NO_TAGS, ModelMetadata
from worker.models.missing_packages import note_missing_package
from worker.models.model_folder import ModelFolder, delete_abandoned_folders
from worker.models.process_settings import kept_while_reading
from worker.models.refused_input import note_input
from worker.models.registry.mlflow_setup import configure_mlflow_client


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
    delete_abandoned_folders()
    folder, path = ModelFolder(), None
    try:
        path = mlflow.artifacts.download_artifacts(
            uri, dst_path=str(folder.path), tracking_uri=registry.url, registry_uri=registry.url
        )
        description = Model.load(path)
        with kept_while_reading(folder.path, threads=threads) as (own, changed):
            import_libraries(description.flavors)
            flavour = _read_flavour(path, description, device=device, threads=threads)
        metadata = _metadata(flavour, description.metadata, tags)
        if changed:
            warning = f"reading it changed {', '.join(changed)} for every model of the process, which was undone"
            metadata = replace(metadata, warnings=(*metadata.warnings, warning))
        try:
            model = _put_on_device(flavour, metadata, device=device, max_pixels=max_pixels)
            model.set_own_modules(own)
        except Exception as error:  # it predicts photographs where it has a choice of ways to compute
            note_input(error, metadata.spec)
            raise
        model.memory_bytes = _weights(flavour, folder.path)
    except BaseException as error:
        if is_gpu(device):
            end_process_if_lost(device, error)
        if path is not None:
            note_missing_package(error, Path(path))
        folder.delete()
        raise
    if flavour.needs_files:
        # The model's own code is imported from there, and some flavours read their files when they predict.
        weakref.finalize(model, folder.delete)
    else:
        folder.delete()
    return model


def _weights(flavour: LoadedFlavour, folder: Path) -> int:
    """Return the bytes of a version's parameters and buffers; of one that is no torch module, those of its files."""
    if flavour.module is None:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return sum(tensor.nbytes for tensor in (*flavour.module.parameters(), *flavour.module.buffers()))


def _read_flavour(path: str, description: Any, *, device: str, threads: int) -> LoadedFlavour:
    """Return what the flavour makes of the files; of several flavours the most specific is taken."""
    if "pytorch" in description.flavors:
        return load_torch(path, description, device=device)
    if "onnx" in description.flavors:
        return load_onnx(path, description, device=device, threads=threads)
    if is_image_pipeline(description):
        return load_transformers(path, description, device=device)
    return load_pyfunc(path, description)


def _metadata(flavour: LoadedFlavour, metadata: Mapping[str, Any] | None, tags: Mapping[str, str]) -> ModelMetadata:
    """Return the version's metadata, with the flavour's warnings; raises ModelError where it contradicts the files."""
    try:
        found = ModelMetadata.from_metadata(metadata, tags, flavour.defaults)
    except ModelError as error:
        unread = f"; the model's own preset can't be read: {flavour.unread}" if flavour.unread else ""
        raise ModelError(f"{error}{unread}{_suggestion(error, flavour)}") from None
    flavour.form.check(found.spec)
    own = tuple(flavour.defaults.get("labels", ()))
    if found.labels != own and sorted(found.labels) == sorted(own):
        raise ModelError(f"the labels are in another order than the model's own: {', '.join(own)}"[:300])
    return replace(found, warnings=(*flavour.warnings, *found.warnings))


def _suggestion(error: ModelError, flavour: LoadedFlavour) -> str:
    """Return what to log where metadata is missing, with the input's size where the files fix it."""
    if not isinstance(error, IncompleteMetadata):
        return ""
    values = {"image": flavour.form.example(), "labels": "[…]"}
    wanted = ", ".join(f'"{key}": {values[key]}' for key in error.missing)
    return f": log it with metadata={{{wanted}}}"


def _put_on_device(flavour: LoadedFlavour, metadata: ModelMetadata, *, device: str, max_pixels: int) -> LoadedModel:
    """Return the version with its forward pass on the device, in the decoding and precision it is to have.

    Without a module, the forward pass is on the CPU, though the worker's device may be a GPU.
    """
    if flavour.module is not None and is_gpu(device):
        on_gpu = put_on_gpu(
            flavour.module,
            forward_of,
            metadata=metadata,
            device=device,
            batch_size=flavour.batch_size,
            max_pixels=max_pixels,
        )
        return LoadedModel(
            on_gpu.forward, metadata=metadata, device=device, mode=on_gpu.mode, fast_decoder=on_gpu.decoder
        )
    on_cpu = put_on_cpu(
        flavour.forward,
        metadata=metadata,
        batch_size=flavour.batch_size,
        max_pixels=max_pixels,
        module=flavour.module,
    )
    return LoadedModel(on_cpu.forward, metadata=metadata, device=device, mode=on_cpu.mode, fast_decoder=on_cpu.decoder)
