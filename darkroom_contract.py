"""The metadata that Darkroom reads from a model, made where the model is logged.

    from darkroom_contract import contract
    mlflow.pytorch.log_model(model, name="model", metadata=contract(MobileNet_V3_Small_Weights.DEFAULT))

This file needs the standard library alone: copy it to where you train, or install Darkroom there.
Over 300 lines: it has to be one file to be copied.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

TASKS: Final = ("classification", "multilabel", "regression", "embedding", "detection", "segmentation", "json")
NEEDS_LABELS: Final = frozenset({"classification", "multilabel", "detection", "segmentation"})
IMAGE_KEYS: Final = frozenset(
    {"resize_size", "pad", "fill", "crop_size", "crop_rounding", "interpolation", "mean", "std", "mode"}
)
INTERPOLATIONS: Final = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Their places are Pillow's numbers of them, which transformers uses."""

MODES: Final = ("RGB", "BGR", "L")
PADS: Final = ("center", "end")
CROP_ROUNDINGS: Final = ("nearest", "down")
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "task": TASKS,
    "activation": ("softmax", "sigmoid", "none"),
    "encoding": ("list", "base64"),
    "decode": ("auto", "exact", "fast"),
    "precision": ("auto", "fp32", "tf32", "bf16", "fp16"),
    "raw_boxes": ("yolov5", "yolov8", "yolov10"),
}

# Named by the presets' classes in torchvision.transforms._presets.
_TORCHVISION_TASKS: Final = {
    "ImageClassification": "classification",
    "ObjectDetection": "detection",
    "SemanticSegmentation": "segmentation",
}
_PROBLEM_TYPES: Final = {"multi_label_classification": "multilabel", "regression": "regression"}
_ARCHITECTURES: Final = {
    "ForImageClassification": "classification",
    "ForObjectDetection": "detection",
    "ForSemanticSegmentation": "segmentation",
}


def contract(  # noqa: PLR0913  the keys of the metadata
    *sources: Any,
    size: Sequence[int] | None = None,
    image: Mapping[str, Any] | None = None,
    labels: Sequence[object] | None = None,
    task: str | None = None,
    top_k: int | None = None,
    activation: str | None = None,
    threshold: float | None = None,
    max_detections: int | None = None,
    raw_boxes: str | None = None,
    iou_threshold: float | None = None,
    values: str | Sequence[str] | Mapping[str, str] | None = None,
    normalize: bool | None = None,
    encoding: str | None = None,
    max_bytes: int | None = None,
    output: str | int | Sequence[object] | Mapping[str, object] | None = None,
    decode: str | None = None,
    precision: str | None = None,
) -> dict[str, Any]:
    """Return `metadata` for MLflow's `log_model`, from a preset and from arguments, which go before the preset.

    `sources` is one of: a weights enum of torchvision or what its `transforms()` returns; a timm model or its
    `pretrained_cfg`; a pipeline of transformers, or an image processor and a model or its config. Without one, `image`
    and mostly `labels` have to be given. `image` changes single entries of the preset's. `size` is the input's
    (height, width), for presets that leave it open or to have it otherwise: the whole image is resized to it
    (`image={"pad": "center"}` keeps its proportions).

    Raises ValueError or TypeError for what Darkroom would refuse, and for a preset that it can't follow.
    """
    found = preset(*sources)
    given = {
        "labels": labels, "task": task, "top_k": top_k, "activation": activation, "threshold": threshold,
        "max_detections": max_detections, "raw_boxes": raw_boxes, "iou_threshold": iou_threshold,
        "values": values, "normalize": normalize, "encoding": encoding, "max_bytes": max_bytes, "output": output,
        "decode": decode, "precision": precision,
    }  # fmt: skip
    if isinstance(values, Mapping):  # MLflow writes a mapping in the order of its names
        given["values"] = [[name, unit] for name, unit in values.items()]
    found |= {name: value for name, value in given.items() if value is not None}
    if size is not None:
        found["image"] |= {"resize_size": [*size], "crop_size": None}
    found["image"] |= image or {}
    found["task"] = found.get("task", "classification")
    if found["task"] not in NEEDS_LABELS and labels is None:
        found.pop("labels", None)
    if (note := fix_size(found["image"])) is not None:
        warnings.warn(f"{note}, or name size=(height, width)", stacklevel=2)
    return _checked(found)


def preset(*sources: Any) -> dict[str, Any]:
    """Return what the sources say by themselves, `image` at least; unchecked, and perhaps without labels."""
    found: dict[str, Any] = {"image": {}}
    for source in sources:
        part = _of_source(source)
        found["image"] |= part.pop("image", {})
        found |= part
    return found


def fix_size(image: dict[str, Any]) -> str | None:
    """Take a square where a preset resizes the shorter side and crops nothing: Darkroom's inputs have one size.

    Returns a sentence that says so, None where nothing had to be changed.
    """
    resize = image.get("resize_size")
    side = resize if isinstance(resize, int) else resize[0] if isinstance(resize, list) and len(resize) == 1 else None
    if side is None or image.get("crop_size") is not None:
        return None
    image["resize_size"] = [side, side]
    return f"the preset leaves the input's size open: images are resized to {side}x{side}"


def _of_source(source: Any) -> dict[str, Any]:
    """Return what one source says; raises TypeError for one of another kind."""
    preset = getattr(source, "pretrained_cfg", source)
    preset = preset.to_dict() if hasattr(preset, "input_size") else preset
    if isinstance(preset, Mapping) and "input_size" in preset:
        return _of_timm(_checked_channels(preset, source), classes=getattr(source, "num_classes", None))
    if hasattr(source, "transforms") and hasattr(source, "meta"):
        return _of_torchvision(source.transforms()) | {"labels": [*source.meta.get("categories", [])]}
    if type(source).__module__.startswith("torchvision.transforms"):
        return _of_torchvision(source)
    return _of_transformers(source)


def _of_transformers(source: Any) -> dict[str, Any]:
    """Follow a pipeline, an image processor, a model or a config."""
    if getattr(source, "image_processor", None) is not None and hasattr(source, "model"):
        return {"image": _of_processor(source.image_processor)} | _of_transformers(source.model)
    if hasattr(source, "image_mean") or hasattr(source, "do_rescale"):
        return {"image": _of_processor(source)}
    config = getattr(source, "config", source)
    if hasattr(config, "id2label"):
        return _of_config(config, architecture="" if config is source else type(source).__name__)
    raise TypeError(f"contract() knows no preset in {type(source).__name__}: name image=… and labels=…")


def _of_torchvision(preset: Any) -> dict[str, Any]:
    kind = type(preset).__name__
    if kind not in _TORCHVISION_TASKS:
        raise ValueError(f"torchvision's preset {kind} is none for single images")
    image: dict[str, Any] = {
        name: [*getattr(preset, name)]
        for name in ("resize_size", "crop_size", "mean", "std")
        if getattr(preset, name, None) is not None
    }
    interpolation = getattr(preset, "interpolation", None)
    if interpolation is not None:
        image["interpolation"] = str(getattr(interpolation, "value", interpolation))
    return {"image": image, "task": _TORCHVISION_TASKS[kind]}


def _checked_channels(preset: Mapping[str, Any], model: Any) -> Mapping[str, Any]:
    """Return timm's preset of a model, of 1 channel where the model was made so: timm leaves it at 3.

    Raises ValueError for another number of channels; `model` may be the preset itself, which has none of its own.
    """
    first = preset.get("first_conv") or ""
    layers = dict(model.named_modules()) if hasattr(model, "named_modules") else {}
    layer = layers.get(first if isinstance(first, str) else first[0])
    channels, count = getattr(layer, "in_channels", None), preset["input_size"][0]
    if channels in (None, count):
        return preset
    if channels != 1:
        raise ValueError(f"the model takes {channels} channels: an image has 3 (mode RGB or BGR) or 1 (mode L)")
    grey = {name: [sum(preset[name]) / count] for name in ("mean", "std")}
    return {**preset, **grey, "input_size": (1, *preset["input_size"][1:])}


def _of_timm(preset: Mapping[str, Any], *, classes: int | None) -> dict[str, Any]:
    """Follow `timm.data.create_transform` for evaluation; `classes` are the model's, which may be fine-tuned."""
    channels, height, width = preset["input_size"]
    share, mode = preset.get("crop_pct") or 0.875, preset.get("crop_mode") or "center"
    if mode not in ("center", "squash") or (mode == "center" and height != width):
        raise ValueError(f"timm's crop_mode {mode!r} of {height}x{width} can't be followed: name image=…")
    resized = [int(height / share), int(width / share)]
    image = {
        "resize_size": resized if mode == "squash" else resized[:1],
        "crop_size": [height, width],
        "interpolation": preset.get("interpolation") or "bilinear",
        "mean": [*preset["mean"]],
        "std": [*preset["std"]],
        "mode": "L" if channels == 1 else "RGB",
    }
    classes = preset.get("num_classes") if classes is None else classes
    if classes == 0:
        return {"image": image, "task": "embedding"}
    labels = [*(preset.get("label_names") or [])] if classes == preset.get("num_classes") else []
    if not labels and classes == preset.get("num_classes") == 1000:  # noqa: PLR2004  ImageNet's, which timm's presets are of
        labels = _imagenet_labels()
    return {"image": image} | ({"labels": labels} if labels else {})


def _imagenet_labels() -> list[str]:
    """Return what timm calls ImageNet's classes; nothing where it isn't installed."""
    try:
        from timm.data.imagenet_info import ImageNetInfo  # noqa: PLC0415  only who has a model of it has it
    except ImportError:
        return []
    return [str(label) for label in ImageNetInfo().label_descriptions()]


def _of_processor(processor: Any) -> dict[str, Any]:
    """Follow an image processor of transformers: resize, crop, rescale, normalise."""
    image: dict[str, Any] = {}
    size = dict(getattr(processor, "size", None) or {})
    crop = dict(getattr(processor, "crop_size", None) or {})
    if getattr(processor, "do_pad", False) and not {"height", "width"} <= size.keys():
        size.setdefault("longest_edge", size.get("shortest_edge", 0))
    if getattr(processor, "do_resize", False):
        image |= _of_size(size, share=getattr(processor, "crop_pct", None))
        image["interpolation"] = _filter_name(getattr(processor, "resample", None))
    if getattr(processor, "do_center_crop", False) and crop:
        image["crop_size"] = [crop["height"], crop["width"]]
    if "crop_size" in image:
        image["crop_rounding"] = "down"
    # Their value is (pixel * factor - offset - mean) / std, ours (pixel / 255 - mean) / std.
    factor = (
        255 * float(getattr(processor, "rescale_factor", 1 / 255)) if getattr(processor, "do_rescale", True) else 255
    )
    offset = 1.0 if getattr(processor, "rescale_offset", False) else 0.0
    mean, std = [0.0] * 3, [1.0] * 3
    if getattr(processor, "do_normalize", False):
        mean, std = [*processor.image_mean], [*processor.image_std]
    if getattr(processor, "include_top", False):  # EfficientNet's divides twice
        std = [one * one for one in std]
    image["mean"] = [(one + offset) / factor for one in mean]
    image["std"] = [one / factor for one in std]
    return image


def _filter_name(resample: Any) -> str:
    """Return the name of Pillow's number of a filter, or of torchvision's interpolation."""
    if isinstance(resample, int):
        return INTERPOLATIONS[resample]
    return str(getattr(resample, "value", None) or "bilinear")


def _of_size(size: Mapping[str, Any], *, share: float | None) -> dict[str, Any]:
    """Return the resize, and ConvNeXt's crop after it: below 384 pixels it keeps a `share` of the resized image."""
    if "height" in size and "width" in size:
        return {"resize_size": [size["height"], size["width"]]}
    shortest = size.get("shortest_edge") or size.get("longest_edge")
    if shortest is None:
        raise ValueError(f"the image processor's size {dict(size)} can't be followed: name size=(height, width)")
    if share is None:
        return {"resize_size": [shortest]}
    if shortest >= 384:  # noqa: PLR2004  ConvNextImageProcessor's own limit
        return {"resize_size": [shortest, shortest]}
    return {"resize_size": [int(shortest / share)], "crop_size": [shortest, shortest]}


def _of_config(config: Any, *, architecture: str) -> dict[str, Any]:
    """Return the labels and the task of a model's config of transformers.

    `architecture` is the model's class where there is a model: a config names one once it was saved.
    """
    architecture = architecture or next(iter(getattr(config, "architectures", None) or []), "")
    labels = [str(config.id2label[index]) for index in sorted(config.id2label, key=int)]
    if not architecture:  # it may be of any task
        return {"labels": labels}
    task = next((task for end, task in _ARCHITECTURES.items() if architecture.endswith(end)), "embedding")
    if task == "classification":
        task = _PROBLEM_TYPES.get(getattr(config, "problem_type", None) or "", task)
    return {"task": task} | ({"values": labels} if task == "regression" else {"labels": labels})


def _checked(found: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata without what is not set; raises ValueError for what Darkroom would refuse."""
    image = {name: _plain(value) for name, value in found["image"].items() if value is not None}
    _check_image(image)
    for name, choices in CHOICES.items():
        if found.get(name) not in (None, *choices):
            raise ValueError(f"{name} is one of {', '.join(choices)}, not {found[name]!r}")
    if found["task"] in NEEDS_LABELS and not found.get("labels"):
        raise ValueError(f"{found['task']} needs labels=[…], in the order of the model's scores")
    _check_numbers(found)
    rest = {name: _plain(value) for name, value in found.items() if name != "image" and value is not None}
    if "labels" in rest:
        rest["labels"] = [str(label) for label in rest["labels"]]
    return {"image": image, **rest}


def _check_image(image: Mapping[str, Any]) -> None:
    """Raise ValueError where an image can't be prepared so."""
    if unknown := image.keys() - IMAGE_KEYS:
        raise ValueError(f"image has no {', '.join(sorted(unknown))}: its entries are {', '.join(sorted(IMAGE_KEYS))}")
    _check_border(image)
    if "crop_size" not in image and "resize_size" not in image:
        raise ValueError("the preset leaves the input's size open: name size=(height, width)")
    if image.get("mode", "RGB") not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)}, not {image['mode']!r}")
    channels = 1 if image.get("mode") == "L" else 3
    for name in ("mean", "std"):
        if name in image and (not isinstance(image[name], list) or len(image[name]) != channels):
            raise ValueError(f"{name} has to have {channels} numbers for mode {image.get('mode', 'RGB')}")
    if any(value > 1 for value in image.get("mean", ())):
        raise ValueError(f"mean is of values from 0 to 1, not of 0 to 255: {image['mean']}")
    if any(value <= 0 for value in image.get("std", ())):
        raise ValueError(f"std has to be positive: {image['std']}")
    if image.get("crop_rounding", "nearest") not in CROP_ROUNDINGS:
        raise ValueError(f"crop_rounding is one of {', '.join(CROP_ROUNDINGS)}, not {image['crop_rounding']!r}")
    if image.get("interpolation", "bilinear") not in INTERPOLATIONS:
        raise ValueError(f"interpolation is one of {', '.join(INTERPOLATIONS)}, not {image['interpolation']!r}")


def _check_border(image: Mapping[str, Any]) -> None:
    pad, fill, size = image.get("pad"), image.get("fill", 0), image.get("resize_size")
    if pad not in (None, *PADS):
        raise ValueError(f"pad is one of {', '.join(PADS)}, not {pad!r}")
    if type(fill) is not int or not 0 <= fill <= 255 or (fill and pad is None):  # noqa: PLR2004  white
        raise ValueError(f"fill is the grey level of what pad adds, a whole number from 0 to 255, not {fill!r}")
    if pad is not None and ("crop_size" in image or not isinstance(size, list) or len(size) != 2):  # noqa: PLR2004
        raise ValueError("pad needs size=(height, width) and no crop_size")


def _check_numbers(found: Mapping[str, Any]) -> None:
    for name in ("top_k", "max_detections", "max_bytes"):
        value = found.get(name)
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{name} has to be a positive whole number, not {value!r}")
    for name in ("threshold", "iou_threshold"):
        value = found.get(name)
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{name} has to be from 0 to 1, not {value!r}")


def _plain(value: Any) -> Any:
    """Return tuples, which MLflow can't write, as lists."""
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value
