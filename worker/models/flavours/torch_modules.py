"""Torch modules as MLflow saves them: pickled modules, TorchScript, and exported programs (`model.pt2`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export.passes import move_to_device_pass

from worker.models.devices import is_gpu
from worker.models.failure_text import failure_text
from worker.models.flavours.batch_norms import fold_batch_norms
from worker.models.flavours.compiled_packages import is_compiled_package, load_compiled
from worker.models.flavours.graph_calls import arguments_of
from worker.models.flavours.input_form import InputForm, shape_of, signature_form
from worker.models.flavours.loaded_flavour import LoadedFlavour, fixed_batch_warnings
from worker.models.forward_function import Forward


class Adapted(torch.nn.Module):
    """A module that takes its input in a form of its own: half precision, flat, channels last, bytes."""

    def __init__(self, module: torch.nn.Module, form: InputForm) -> None:
        super().__init__()
        self.module = module
        self.form = form

    def forward(self, batch: torch.Tensor) -> object:
        """Bring float32 (images, channels, height, width) into the form, and run the module."""
        return forward_of(self.module)(self.form.arranged(batch))


def load_torch(path: str, description: Any, *, device: str) -> LoadedFlavour:
    """Return a torch version's module on the device; `description` is its `MLmodel`.

    Raises ModelError for an AOTInductor package that may not be loaded, or can't be used on this machine.
    """
    import mlflow.pytorch  # noqa: PLC0415

    exported = Path(path) / description.flavors["pytorch"]["model_data"] / "model.pt2"
    if exported.exists():
        if is_compiled_package(exported):
            return _compiled_flavour(load_compiled(exported, device=device), description)
        return _load_exported_version(path, exported, device=device)
    module = mlflow.pytorch.load_model(path, map_location=device).eval()
    return pickled_flavour(module, signature_form(description.get_input_schema()))


def pickled_flavour(
    module: torch.nn.Module, signature: InputForm, *, defaults: Mapping[str, Any] | None = None
) -> LoadedFlavour:
    """Return what is served of a module with code.

    It gets floats in the type of its parameters, or the whole numbers that its signature wants.
    """
    # Whole numbers are pixels, which a module that divides by 255 itself wants; a signature's float64 is only numpy's.
    kind = (_parameters_type(module) or signature.type) if signature.type.is_floating_point else signature.type
    form = InputForm(where=signature.where, shape=signature.shape, type=kind)
    adapted = _adapted(module, form)
    own, unread = _timm_preset(module) if defaults is None else (defaults, "")
    return LoadedFlavour(forward=forward_of(adapted), module=adapted, form=form, defaults=own, unread=unread)


def _load_exported_version(path: str, exported: Path, *, device: str) -> LoadedFlavour:
    import mlflow.pytorch  # noqa: PLC0415
    from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION  # noqa: PLC0415

    module: Any = None
    if not is_gpu(device) or not MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get():  # type: ignore[no-untyped-call]
        # Through MLflow even where the result can't be used as it is: it refuses what its settings forbid.
        module = mlflow.pytorch.load_model(path)
    if is_gpu(device):
        module = load_exported(exported, device=device)
    else:
        fold_batch_norms(module)
    form = _graph_form(module)
    adapted = _adapted(module, form)
    return LoadedFlavour(
        forward=forward_of(adapted),
        module=adapted,
        batch_size=form.batch_size,
        form=form,
        warnings=(
            *fixed_batch_warnings(form.batch_size, remedy="log it with an input_example of two images"),
            *_training_warnings(module),
        ),
        needs_files=False,  # a graph has no code or files of its own
    )


def _compiled_flavour(compiled: Forward, description: Any) -> LoadedFlavour:
    """Return what is served of an AOTInductor package, whose input's form is the signature's."""
    form = signature_form(description.get_input_schema())
    return LoadedFlavour(
        forward=compiled if form.is_default else lambda batch: compiled(form.arranged(batch)),
        module=None,
        batch_size=form.batch_size,
        form=form,
        warnings=fixed_batch_warnings(form.batch_size, remedy="compile it with a dynamic batch dimension"),
        needs_files=False,  # its archive was unpacked into a folder of its own
    )


def forward_of(module: torch.nn.Module) -> Forward:
    """Return a module's forward pass.

    Calling an exported module instead would add input checks that the graph's guards repeat: 45 microseconds.
    torchvision's detectors as TorchScript take a list of images; as Python code they iterate over a batch.
    """
    if isinstance(module, torch.jit.ScriptModule) and _takes_list(module):
        return lambda batch: module([*batch.unbind()])
    return module.forward if isinstance(module, torch.fx.GraphModule) else module


def _takes_list(module: torch.jit.ScriptModule) -> bool:
    forward: Any = module.forward
    arguments = forward.schema.arguments
    return len(arguments) > 1 and isinstance(arguments[1].type, torch.ListType)


def load_exported(file: Path, *, device: str) -> torch.nn.Module:
    """Return an exported program's module on `device`.

    `.to(device)` alone would not change the devices that are written in the graph.
    """
    return move_to_device_pass(torch.export.load(file), device).module()


def _adapted(module: torch.nn.Module, form: InputForm) -> torch.nn.Module:
    return module if form.is_default else Adapted(module, form)


def _graph_form(module: torch.fx.GraphModule) -> InputForm:
    """Return the form of the graph's first input."""
    first = next(node for node in module.graph.nodes if node.op == "placeholder")
    value = first.meta.get("val")
    if value is None:
        return InputForm()
    return InputForm(where="the exported graph", shape=shape_of(value.shape), type=value.dtype)


def _training_warnings(module: torch.fx.GraphModule) -> tuple[str, ...]:
    """Return a warning where layers were exported as they are in training; `.eval()` does not change a graph."""
    names = {node.target.name() for node in module.graph.nodes if _trains(node)}
    if not names:
        return ()
    layers = ", ".join(sorted(name.removeprefix("aten::") for name in names))
    return (f"exported in training mode ({layers}): call model.eval() before you log it",)


def _trains(node: torch.fx.Node) -> bool:
    """Tell whether a call in a graph has an argument `train` or `training`, and that is true."""
    arguments = arguments_of(node)
    return any(arguments.get(name) is True for name in ("train", "training"))


def _parameters_type(module: torch.nn.Module) -> torch.dtype | None:
    """Return the number type of a module's first parameter that is no whole number."""
    return next((one.dtype for one in module.parameters() if one.is_floating_point()), None)


def _timm_preset(module: torch.nn.Module) -> tuple[dict[str, Any], str]:
    """Return what a model of timm says of its input and labels, in the preset that it was made with.

    And why it can't be followed where that is so: then the metadata has to say it.
    """
    if not hasattr(module, "pretrained_cfg"):
        return {}, ""
    from darkroom_contract import preset  # noqa: PLC0415  few models need it

    try:
        return preset(module), ""
    except (KeyError, TypeError, ValueError) as error:
        return {}, failure_text(error)
