"""What a flavour makes of a version's files: a forward pass, and what the files say about the model themselves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch

Forward = Callable[[torch.Tensor], object]
"""Takes float32 (images, channels, height, width), gives one row of scores an image, or what else the model gives."""
Shape = tuple[int | None, ...]
"""Sizes of an array's dimensions, None where any size is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFlavour:
    """A version's forward pass and its facts, before its metadata is read."""

    forward: Forward
    module: torch.nn.Module | None = None
    """The module that `forward` is of, on the worker's device. None: `forward` takes a tensor in a CPU's memory."""
    batch_size: int | None = None
    """The number of images of every forward pass, where the files fix it."""
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Metadata that the files imply; what `MLmodel` and the version's tags say goes before it."""
    warnings: tuple[str, ...] = ()
    """Sentences for whoever logged the model; it is served all the same."""
    needs_files: bool = True
    """Whether the files have to stay while the version is loaded."""
