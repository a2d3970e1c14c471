"""Networks that take a batch of images in one memory format or in both, importable by what pickles them."""

import torch
from torch import nn

SIDE, CLASSES = 8, 5


class ViewsAcrossChannels(nn.Module):
    """Raises for channels-last: `view` merges dimensions that are not adjacent in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * SIDE * SIDE, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.linear(images.view(images.shape[0], 3 * SIDE * SIDE))
        return scores


class AssumesStrides(nn.Module):
    """Gives wrong scores for channels-last, without an error."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * SIDE * SIDE, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        size = 3 * SIDE * SIDE
        scores: torch.Tensor = self.linear(images.as_strided((images.shape[0], size), (size, 1)))
        return scores


class Convolutions(nn.Module):
    """Takes both, with scores equal but for rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, CLASSES),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(images)
        return scores
