"""The type of a version's forward pass, as its flavour returns it and a device runs it."""

from collections.abc import Callable

import torch

Forward = Callable[[torch.Tensor], object]
"""Takes (images, channels, height, width) in the version's number type, float32 by default; gives the raw output."""
