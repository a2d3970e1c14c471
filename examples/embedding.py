"""Registers EfficientNet-lite0 without its last layer as `lite0-features`, for search by likeness: see README.md."""

import sys
from pathlib import Path

import mlflow
import torch
from efficientnet import IMAGE, OPTIONS, trained
from stack import PHOTOGRAPH, serve

from darkroom_contract import contract


class Features(torch.nn.Module):
    """The mean of the last feature maps: (images, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = trained()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return one vector an image."""
        maps: torch.Tensor = self.network.extract_features(images)  # type: ignore[operator]
        return maps.mean((2, 3))


if __name__ == "__main__":
    metadata = contract(image=IMAGE, task="embedding", normalize=True, encoding="base64")
    mlflow.pytorch.log_model(Features().eval(), registered_model_name="lite0-features", metadata=metadata, **OPTIONS)
    serve("lite0-features", Path(sys.argv[1]) if len(sys.argv) > 1 else PHOTOGRAPH)
