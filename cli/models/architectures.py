"""The architectures of torchvision and timm, and ONNX files, made into what MLflow logs, with the metadata for them."""

import difflib
import inspect
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.terminal.refused import Refused

if TYPE_CHECKING:
    import torch

LONGEST: Final = 1000
"""Characters of an error of torch that are shown: it names every weight that does not fit."""
_UNDER: Final = ("state_dict", "model", "model_state_dict")
"""Where training scripts keep the weights in what they save."""

_WITH_BACKGROUND: Final = ("detection", "segmentation")
_BACKGROUND: Final = (
    " Most such models of torchvision have the background as class 0: it is the first line of --labels."
)
_AS_OPTIONS: Final = {
    "name size=(height, width)": "say it, as --size 320 or --size 480x640",
    "size=(height, width)": "--size HEIGHTxWIDTH",
    "labels=[…], in the order": "--labels FILE, a label a line in the order",
    "name image=… and labels=…": "it needs --labels",
}
"""What `contract` tells a program to write, as it is written on the command line."""

Given = Mapping[str, Any]
"""What `contract` takes beside a preset, each None where it was not given; `size` is (height, width)."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model with its metadata; `log` logs it with MLflow in the run that is active, in a serialization format.

    `packages` are those that it needs where it is loaded.
    """

    metadata: dict[str, Any]
    packages: list[str]
    log: Callable[[str], Any]


def torchvision_model(name: str, weights: Path | None, given: Given) -> Architecture:
    """Return a model of torchvision, with random weights where none are given; raises Refused for what does not fit."""
    from torchvision.models import get_model_builder, get_model_weights, list_models  # noqa: PLC0415  slow

    if name not in list_models():
        raise Refused(_unknown("torchvision", name, list_models()))
    preset = get_model_weights(name).DEFAULT
    metadata = _contract(preset, given)
    builder = get_model_builder(name)
    # The backbone's weights would be downloaded, and are replaced by those that are given.
    options = {"weights_backbone": None} if "weights_backbone" in inspect.signature(builder).parameters else {}
    module = builder(weights=None, num_classes=len(metadata["labels"]), **options)
    hint = _BACKGROUND if metadata["task"] in _WITH_BACKGROUND else ""
    return _torch(_with_weights(module, weights, hint=hint), metadata, ["torch", "torchvision"])


def timm_model(name: str, weights: Path | None, given: Given) -> Architecture:
    """Return a model of timm, with random weights where none are given; raises Refused for what does not fit."""
    try:
        import timm  # noqa: PLC0415  slow, and not installed with Darkroom
    except ModuleNotFoundError:
        raise Refused("This needs timm, where the workers run too: pip install timm") from None
    if not timm.is_model(name):
        raise Refused(_unknown("timm", name, timm.list_models()))
    labels = given["labels"]
    module = timm.create_model(name, pretrained=False, **({"num_classes": len(labels)} if labels else {}))
    return _torch(_with_weights(module, weights), _contract(module, given), ["torch", "timm"])


def onnx_file(file: Path, given: Given) -> Architecture:
    """Return an ONNX file; its input's size and channels are read from its graph where that fixes them."""
    try:
        import mlflow.onnx  # noqa: PLC0415  slow
        import onnx  # noqa: PLC0415  not installed with Darkroom
    except ModuleNotFoundError as error:
        raise Refused(f"This needs {error.name}: pip install onnx onnxruntime") from None
    try:
        model = onnx.load(str(file))
    except Exception as error:  # noqa: BLE001  protobuf's errors have no common class but this
        raise Refused(f"{file} is no ONNX file: {_one_line(error)}") from None
    shape = [axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim]
    image: dict[str, Any] = {}
    if len(shape) == 4 and all(shape[2:]):  # noqa: PLR2004  images, channels, height, width
        image = {"resize_size": shape[2:], "mode": "L" if shape[1] == 1 else "RGB"}
    if not image and given["size"] is None:
        raise Refused("The graph leaves the input's size open: say it, as --size 320 or --size 480x640.")
    metadata = _contract(None, {**given, "image": image | given["image"]})
    packages = ["onnx", "onnxruntime"]

    def log(_: str) -> Any:
        return mlflow.onnx.log_model(model, name="model", metadata=metadata, pip_requirements=packages)

    return Architecture(metadata, packages, log)


def _torch(module: "torch.nn.Module", metadata: dict[str, Any], packages: list[str]) -> Architecture:
    import mlflow.pytorch  # noqa: PLC0415  slow
    import torch  # noqa: PLC0415

    image = metadata["image"]
    size = image.get("crop_size") or image["resize_size"]
    height, width = size if len(size) == 2 else (size[0], size[0])  # noqa: PLR2004
    channels = 1 if image.get("mode") == "L" else 3
    # Two images: a dimension of one would be exported as fixed, and the batch must stay free.
    example = torch.zeros(2, channels, height, width).numpy()

    def log(serialization_format: str) -> Any:
        return mlflow.pytorch.log_model(
            module.eval(),
            name="model",
            serialization_format=serialization_format,
            input_example=example if serialization_format == "pt2" else None,
            metadata=metadata,
            pip_requirements=packages,
        )

    return Architecture(metadata, packages, log)


def _with_weights(module: "torch.nn.Module", file: Path | None, *, hint: str = "") -> "torch.nn.Module":
    """Load a file's weights into a module; raises Refused where they are another architecture's or other classes'.

    `hint` is added to what does not fit.
    """
    import torch  # noqa: PLC0415  slow

    if file is None:
        return module
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise Refused(f"{file} holds more than tensors: save model.state_dict() with torch.save.") from None
    except Exception as error:  # noqa: BLE001  torch and pickle raise all kinds of errors for other files
        raise Refused(f"{file} has no weights that can be read: {_one_line(error)}") from None
    for key in _UNDER:
        found = found[key] if isinstance(found, dict) and isinstance(found.get(key), dict) else found
    try:
        # Saved from DataParallel or a compiled module, each name has a word in front.
        module.load_state_dict({_bare(name): value for name, value in found.items()})
    except (RuntimeError, AttributeError, TypeError) as error:
        raise Refused(f"{file} does not fit: {_one_line(error)}{hint}") from None
    return module


def _bare(name: str) -> str:
    return name.removeprefix("module.").removeprefix("_orig_mod.")


def _contract(source: object, given: Given) -> dict[str, Any]:
    """Return the metadata by a preset and what was given; raises Refused for what Darkroom would not take."""
    from darkroom_contract import contract  # noqa: PLC0415

    try:
        return contract(*([] if source is None else [source]), **given)
    except (TypeError, ValueError) as error:
        told = _one_line(error)
        for argument, option in _AS_OPTIONS.items():
            told = told.replace(argument, option)
        raise Refused(f"This can't be served: {told}") from None


def _unknown(library: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"{library} has no model {name!r}." + (f" It has: {', '.join(close)}." if close else "")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
