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

_CHANNELS: Final = (1, 3)
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

    `packages` are those that it needs where it is loaded, `files` those that have its weights.
    """

    metadata: dict[str, Any]
    packages: list[str]
    files: list[Path]
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
    options: dict[str, Any] = (
        {"weights_backbone": None} if "weights_backbone" in inspect.signature(builder).parameters else {}
    )
    if labels := metadata.get("labels"):  # an embedding has none: its outputs are as many as in the preset
        options["num_classes"] = len(labels)
    module = builder(weights=None, **options)
    hint = _BACKGROUND if metadata["task"] in _WITH_BACKGROUND else ""
    return _torch(_with_weights(module, weights, hint=hint), weights, metadata, ["torch", "torchvision"])


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
    return _torch(_with_weights(module, weights), weights, _contract(module, given), ["torch", "timm"])


def onnx_file(file: Path, given: Given) -> Architecture:
    """Return an ONNX file; its input's size and channels are read from its graph where that fixes them."""
    try:
        import mlflow.onnx  # noqa: PLC0415  slow
        import onnx  # noqa: PLC0415  not installed with Darkroom
    except ModuleNotFoundError as error:
        raise Refused(f"This needs {error.name}: pip install onnx onnxruntime") from None
    try:
        model = onnx.load(str(file), load_external_data=False)
        beside = [file.parent / name for name in names_of_files_beside(model.graph)]
        onnx.load_external_data_for_model(model, str(file.parent))
    except Exception as error:  # noqa: BLE001  protobuf's errors have no common class but this
        raise Refused(f"{file} is no ONNX file, or not a whole one: {_one_line(error)}") from None
    image = image_of_graph(model.graph, file, given)
    if "resize_size" not in image and given["size"] is None:
        raise Refused("The graph leaves the input's size open: say it, as --size 320 or --size 480x640.")
    size = None if "resize_size" in image else given["size"]
    metadata = _contract(None, {**given, "size": size, "image": image | given["image"]})
    packages = ["onnx", "onnxruntime"]

    def log(_: str) -> Any:
        return mlflow.onnx.log_model(model, name="model", metadata=metadata, pip_requirements=packages)

    return Architecture(metadata, packages, [file, *beside], log)


def names_of_files_beside(graph: Any) -> list[str]:
    """Return the names of the files that hold a graph's weights, where they are not in the graph's own."""
    places = (entry for weights in graph.initializer for entry in weights.external_data if entry.key == "location")
    return sorted({entry.value for entry in places})


def image_of_graph(graph: Any, file: Path, given: Given) -> dict[str, Any]:
    """Return what a graph fixes of `image`; raises Refused where that contradicts what was given.

    Batches are (images, channels, height, width), (images, height, width, channels) or grey (images, height, width).
    """
    weights = {one.name for one in graph.initializer}  # older files list them among the inputs
    inputs = [one for one in graph.input if one.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs) or "none"
        raise Refused(f"{file} has no graph that can be served: its inputs are {names}, and it may have one, images.")
    sizes = [axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim][1:]  # 0 where any size is taken
    image: dict[str, Any] = {}
    if len(sizes) == 3:  # noqa: PLR2004  with channels
        is_last = sizes[2] in _CHANNELS and sizes[0] not in _CHANNELS
        channels, sizes = (sizes[2], sizes[:2]) if is_last else (sizes[0], sizes[1:])
        if channels in _CHANNELS:
            image["mode"] = "L" if channels == 1 else "RGB"
    elif len(sizes) == 2:  # noqa: PLR2004  without
        image["mode"] = "L"
    mode = given["image"].get("mode")
    if mode is not None and "mode" in image and (mode == "L") != (image["mode"] == "L"):
        count = "one channel" if image["mode"] == "L" else "three channels"
        raise Refused(f"The graph takes pictures of {count}, which --mode {mode} does not give.")
    if len(sizes) == 2 and all(sizes):  # noqa: PLR2004  height, width
        if given["size"] is not None and [*given["size"]] != sizes:
            wanted, other = ("x".join(map(str, one)) for one in (sizes, given["size"]))
            raise Refused(f"The graph takes pictures of {wanted} (height x width), not of {other}: leave out --size.")
        image["resize_size"] = sizes
    return image


def _torch(
    module: "torch.nn.Module", weights: Path | None, metadata: dict[str, Any], packages: list[str]
) -> Architecture:
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

    return Architecture(metadata, packages, [weights] if weights else [], log)


def _with_weights(module: "torch.nn.Module", file: Path | None, *, hint: str = "") -> "torch.nn.Module":
    """Load a file's weights into a module; raises Refused where they are another architecture's or other classes'.

    `hint` is added to what does not fit.
    """
    import torch  # noqa: PLC0415  slow

    if file is None:
        return module
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError) as error:
        raise Refused(f"{file} has no weights that can be read: {_one_line(error)}") from None
    except Exception as error:  # noqa: BLE001  torch and pickle raise all kinds of errors for other files
        if isinstance(error, pickle.UnpicklingError) and _is_saved_by_torch(file):
            raise Refused(f"{file} holds more than tensors: save model.state_dict() with torch.save.") from None
        raise Refused(f"{file} is no file of weights: save model.state_dict() with torch.save.") from None
    for key in _UNDER:
        found = found[key] if isinstance(found, dict) and isinstance(found.get(key), dict) else found
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise Refused(f"{file} has no weights with names: save model.state_dict() with torch.save.")
    try:
        # Saved from DataParallel or a compiled module, each name has a word in front.
        module.load_state_dict({_bare(name): value for name, value in found.items()})
    except (RuntimeError, TypeError) as error:
        raise Refused(f"{file} does not fit: {_one_line(error)}{hint}") from None
    return module


def _is_saved_by_torch(file: Path) -> bool:
    """Tell whether a file begins as a zip, which torch.save writes, or as a pickle, which old releases wrote."""
    with file.open("rb") as saved:
        return saved.read(2) in (b"PK", b"\x80\x02")


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
