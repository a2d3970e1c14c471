"""Image pipelines of `mlflow.transformers`: the model and the processor are taken out, Darkroom prepares the images.

The pipeline itself takes one image after another, as files or base64.
"""

from typing import Any, Final

import torch
from torch.nn.functional import interpolate

from worker.models.errors import ModelError
from worker.models.flavours.input_form import InputForm
from worker.models.flavours.loaded_flavour import LoadedFlavour
from worker.models.flavours.torch_modules import pickled_flavour

_PROCESSORS: Final = ("image_processor", "feature_extractor", "processor")
"""MLflow's names of what prepares the images, by the release that saved it."""


class Classifier(torch.nn.Module):
    """The logits of an image classifier."""

    model: Any

    def __init__(self, model: torch.nn.Module, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.processor = processor

    def forward(self, images: torch.Tensor) -> object:
        """Return (images, labels)."""
        return self.model(pixel_values=images).logits


class Embedder(Classifier):
    """One vector an image: the pooled output, of a model that has none the first token of the last layer."""

    def forward(self, images: torch.Tensor) -> object:
        """Return (images, dimensions)."""
        if hasattr(self.model, "get_image_features"):  # CLIP and SigLIP, whose other half reads texts
            found = self.model.get_image_features(pixel_values=images)
            return getattr(found, "pooler_output", found)
        outputs = self.model(pixel_values=images)
        pooled = getattr(outputs, "pooler_output", None)
        return outputs.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)


class Detector(Classifier):
    """Boxes of every query, in pixels of the input; what is below the threshold is left to who reads them."""

    def forward(self, images: torch.Tensor) -> object:
        """Return a dict of `boxes` (x0, y0, x1, y1), `scores` and `labels` an image."""
        outputs = self.model(pixel_values=images)
        sizes = [tuple(images.shape[-2:])] * len(images)
        return self.processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)


class Segmenter(Classifier):
    """The logits of every pixel."""

    def forward(self, images: torch.Tensor) -> object:
        """Return (images, labels, height, width)."""
        logits = self.model(pixel_values=images).logits
        return interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=False)


_TASKS: Final[dict[str, tuple[type[Classifier], str | None]]] = {
    "image-classification": (Classifier, None),
    "image-feature-extraction": (Embedder, "embedding"),
    "object-detection": (Detector, "detection"),
    "image-segmentation": (Segmenter, "segmentation"),
}
"""The pipelines' names, with the task where the model's config does not say it."""


def is_image_pipeline(description: Any) -> bool:
    """Tell whether an `MLmodel` is of a pipeline that is served here."""
    return description.flavors.get("transformers", {}).get("task") in _TASKS


def load_transformers(path: str, description: Any, *, device: str) -> LoadedFlavour:
    """Return a pipeline's model on the device; its image, labels and task are those of its configs.

    Raises ModelError for a segmentation model that gives masks and not a class a pixel.
    """
    import mlflow.transformers  # noqa: PLC0415

    from darkroom_contract import fix_size, preset  # noqa: PLC0415  few models need it

    parts = mlflow.transformers.load_model(path, return_type="components", device="cpu")
    processor = next((parts[name] for name in _PROCESSORS if parts.get(name) is not None), None)
    wrapper, task = _TASKS[description.flavors["transformers"]["task"]]
    model = parts["model"].eval()
    if wrapper is Segmenter and not type(model).__name__.endswith("SemanticSegmentation"):
        raise ModelError(f"{type(model).__name__} gives masks of objects: only a class for each pixel can be served")
    defaults = preset(*([] if processor is None else [processor]), model)
    if task is not None:
        defaults["task"] = task
    note = fix_size(defaults["image"])
    if not defaults["image"]:
        del defaults["image"]
    flavour = pickled_flavour(wrapper(model, processor).to(device), InputForm(), defaults=defaults)
    return LoadedFlavour(
        forward=flavour.forward,
        module=flavour.module,
        form=flavour.form,
        defaults=defaults,
        warnings=() if note is None else (note,),
    )
