"""Torch modules as MLflow saves them: pickled modules, TorchScript, and exported programs (`model.pt2`)."""

from pathlib import Path
from typing import Any

import torch
from torch.export.passes import move_to_device_pass

from worker.models.devices import is_gpu
from worker.models.flavours.loaded_flavour import Forward, LoadedFlavour


def load_torch(path: str, data: Path, *, device: str) -> LoadedFlavour:
    """Return a torch version's module on the device, and its batch size if the exported graph fixes that."""
    import mlflow.pytorch  # noqa: PLC0415
    from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION  # noqa: PLC0415

    exported = data / "model.pt2"
    if not exported.exists():
        module: Any = mlflow.pytorch.load_model(path, map_location=device).eval()
        return LoadedFlavour(forward=forward_of(module), module=module)
    if not is_gpu(device) or not MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get():  # type: ignore[no-untyped-call]
        # Through MLflow even where the result can't be used as it is: it refuses what its settings forbid.
        module = mlflow.pytorch.load_model(path)
    if is_gpu(device):
        module = load_exported(exported, device=device)
    # A graph has no code or files of its own.
    return LoadedFlavour(
        forward=forward_of(module), module=module, batch_size=_fixed_batch_size(module), needs_files=False
    )


def forward_of(module: torch.nn.Module) -> Forward:
    """Return a module's forward pass.

    Calling an exported module instead would add input checks that the graph's guards repeat: 45 microseconds.
    """
    return module.forward if isinstance(module, torch.fx.GraphModule) else module


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
