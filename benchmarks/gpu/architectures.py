"""The measured models: torchvision's architectures and the demo's small CNN, with seeded random weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
import torchvision
from torch import nn

from benchmarks.gpu.subjects import DIGITS
from benchmarks.stack.preset import Preset

_SEED: Final = 0
_SPREAD: Final = 3.0
"""Standard deviation that each class's score is given over the pictures."""
_IMAGENET: Final = {
    "resize_size": [256],
    "crop_size": [224],
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
_SMALL: Final = {"resize_size": [32], "crop_size": [32], "mean": [0.5] * 3, "std": [0.5] * 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """How to make a model, and what its `MLmodel` file says of its images."""

    make: Callable[[], nn.Module]
    classes: int
    image: dict[str, Any]

    @property
    def preset(self) -> Preset:
        """The decoding of its images."""
        return Preset.from_metadata(self.image)


def architecture(name: str) -> Architecture:
    """Return the demo's CNN for `digits_cnn`, else torchvision's model of that name with 1,000 classes."""
    if name == DIGITS:
        return Architecture(make=_small_cnn, classes=10, image=_SMALL)
    return Architecture(
        make=lambda: torchvision.models.get_model(name, weights=None, num_classes=1000), classes=1000, image=_IMAGENET
    )


def make_model(name: str) -> nn.Module:
    """Return the model in evaluation mode, each time with the same weights."""
    torch.manual_seed(_SEED)
    return architecture(name).make().eval()


def spread_classes(model: nn.Module, pictures: torch.Tensor) -> None:
    """Move and stretch the last layer so that pictures differ in class.

    Random weights see one class in every picture; comparing classes would then prove nothing.
    """
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        scores = model(pictures)
        stretch = _SPREAD / scores.std(dim=0).mean()
        last.bias.sub_(scores.mean(dim=0)).mul_(stretch)
        last.weight.mul_(stretch)


def batch_of(name: str, images: Sequence[bytes]) -> torch.Tensor:
    """Return images as the model takes them."""
    preset = architecture(name).preset
    return preset.batch([preset.pixels(image) for image in images])


def _small_cnn() -> nn.Module:
    """Make the demo's network (cli/demo/digits.py)."""
    return nn.Sequential(
        nn.Conv2d(3, 8, kernel_size=4, stride=4),
        nn.ReLU(),
        nn.Conv2d(8, 16, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 10),
    )
