"""The heads of a forward pass' output: found by the version's `output`, never silently the first of several."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch

from worker.models.errors import ModelError
from worker.models.metadata.metadata_values import Heads

Head = str | int
_SEVERAL: Final = "say which counts with `output` in the metadata, or with the version's tag darkroom.output"
_MOST_SHOWN: Final = 20


def heads_of(output: object) -> dict[Head, object] | None:
    """Return a forward pass' heads by key or index; None where its output is one thing, or one thing an image.

    A list of arrays of one dimension is a row for each image; a tuple of them has a head each. Raises ModelError for a
    dict of nothing.
    """
    if isinstance(output, Mapping):
        if not output:
            raise ModelError("the model answers with an empty dict")
        return dict(output)
    if isinstance(output, tuple) and output:
        names = getattr(output, "_fields", range(len(output)))
        return {name: value for name, value in zip(names, output, strict=True) if value is not None}
    if isinstance(output, list) and output and all(_is_array(one) and one.ndim > 1 for one in output):
        return dict(enumerate(output))
    return None


def one_head(output: object, heads: Heads | None, *, usual: tuple[str, ...] = ()) -> object:
    """Return the head that counts: what `heads` names, else the only one, else one with a usual name.

    Raises ModelError, which lists the heads and their shapes, where that leaves several or where none has that name.
    """
    found = heads_of(output)
    if heads is not None and heads.only is not None:
        return _named(output, found, heads.only)
    if found is None:
        return output
    if len(found) == 1:
        return one_head(next(iter(found.values())), None, usual=usual)
    for name in usual:
        if name in found:
            return found[name]
    boxes = "; is its task detection?" if {"boxes", "scores"} <= found.keys() else ""
    raise ModelError(f"the model has {len(found)} outputs, {_list(found)}: {_SEVERAL}{boxes}")


def several_heads(output: object, heads: Heads) -> dict[str, object]:
    """Return the heads that are named, by the names that they are to have; raises ModelError."""
    found = heads_of(output)
    return {name: _named(output, found, head) for name, head in heads.by_name.items()}


def shape_of(value: object) -> str:
    """Return what a head is, in a few characters: its shape, or its type."""
    shape = getattr(value, "shape", None)
    return str([*shape]) if shape is not None else type(value).__name__


def _named(output: object, found: dict[Head, object] | None, head: Head) -> object:
    """Return one head; a data frame's heads are its columns."""
    if found is None:
        columns = getattr(output, "columns", None)
        if columns is not None and head in columns:
            return output[head]  # type: ignore[index]
        if head == 0:
            return output
        raise ModelError(f"`output` is {head!r}, and the model has one output, {shape_of(output)}")
    if head in found:
        return found[head]
    if isinstance(head, int) and head < len(found):
        return [*found.values()][head]
    raise ModelError(f"`output` is {head!r}, and the model has {_list(found)}")


def _list(found: dict[Head, object]) -> str:
    shown = [f"{name!r} {shape_of(value)}" for name, value in found.items()]
    return ", ".join(shown[:_MOST_SHOWN]) + (" …" if len(shown) > _MOST_SHOWN else "")


def _is_array(value: object) -> bool:
    return isinstance(value, (torch.Tensor, np.ndarray))


def in_memory(output: Any) -> Any:
    """Return a nested output with numpy's arrays in place of tensors, those of numbers with a point in float32."""
    if isinstance(output, torch.Tensor):
        values = output.detach()
        return (values.float() if values.is_floating_point() else values).cpu().numpy()
    if isinstance(output, Mapping):
        return {name: in_memory(value) for name, value in output.items()}
    if isinstance(output, tuple):
        parts = [in_memory(value) for value in output]
        return type(output)(*parts) if hasattr(output, "_fields") else tuple(parts)
    return [in_memory(value) for value in output] if isinstance(output, list) else output
