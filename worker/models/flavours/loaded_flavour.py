"""What a flavour makes of a version's files: a forward pass, and what the files say about the model themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch

from worker.models.flavours.input_form import InputForm
from worker.models.forward_function import Forward


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFlavour:
    """A version's forward pass and its facts, before its metadata is read."""

    forward: Forward
    module: torch.nn.Module | None = None
    """The module that `forward` is of, on the worker's device. None: `forward` takes a tensor in a CPU's memory."""
    batch_size: int | None = None
    """The number of images of every forward pass, where the files fix it."""
    form: InputForm = field(default_factory=InputForm)
    """What the files say of the model's input, with which the metadata's `image` has to agree."""
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Metadata that the files imply; what `MLmodel` and the version's tags say goes before it."""
    unread: str = ""
    """Why what the files say of the input can't be followed, where the metadata has to say it instead."""
    warnings: tuple[str, ...] = ()
    """Sentences for whoever logged the model; it is served all the same."""
    needs_files: bool = True
    """Whether the files have to stay while the version is loaded."""


def fixed_batch_warnings(batch_size: int | None, *, remedy: str) -> tuple[str, ...]:
    """Return what a fixed batch size costs, and what to do about it; nothing where any number of images is taken."""
    if batch_size is None:
        return ()
    if batch_size == 1:
        # CPU time an image of mobilenet_v3_small on an AMD EPYC: 4.29 ms alone, 2.64 in a batch of 16.
        cost = "1.6× slower than with a free batch dimension (mobilenet_v3_small on a CPU; more on a GPU)"
    else:
        cost = f"images are computed in portions of {batch_size}, the last of them filled up"
    return (f"fixed batch of {batch_size}: {cost}; {remedy}",)
