"""A forward pass' output as one row an image, for tasks whose outputs are no table of numbers.

A model may answer with one thing an image (a list, a data frame, a column), or with arrays whose first dimension is
the images', by name.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from worker.models.errors import ModelError
from worker.models.metadata.metadata_values import Heads
from worker.models.outputs.heads import heads_of, in_memory, one_head, several_heads, shape_of

_SCRIPTED_DETECTOR: Final = 2
"""torchvision's detectors as TorchScript answer with the losses, an empty dict, and the list of detections."""


def rows_of(output: object, *, images: int, heads: Heads | None = None) -> list[Any]:
    """Return what the model answers for each image, arrays in memory; raises ModelError for fewer or more.

    A row is what stands in a list for the image, or a dict of each head's part for it. With `heads`, what they name:
    one head's part, or a dict of several by name.
    """
    output = in_memory(_without_losses(output))
    per_image = _listed(output, images)
    if per_image is not None:
        return per_image if heads is None else [_named(row, heads) for row in per_image]
    if heads is not None and heads.only is not None:
        return _split(one_head(output, heads), images)
    if heads is not None:
        parts: Mapping[Any, object] | None = several_heads(output, heads)
    else:
        parts = heads_of(output)
        if parts is not None and isinstance(output, tuple) and not hasattr(output, "_fields"):
            return rows_of(output[0] if len(output) == 1 else one_head(output, None), images=images)
    if parts is None:
        return _split(output, images)
    columns = {name: _split(part, images) for name, part in parts.items()}
    return [{name: column[image] for name, column in columns.items()} for image in range(images)]


def _without_losses(output: object) -> object:
    if (
        isinstance(output, tuple)
        and len(output) == _SCRIPTED_DETECTOR
        and output[0] == {}
        and isinstance(output[1], list)
    ):
        return output[1]
    return output


def _listed(output: Any, images: int) -> list[Any] | None:
    """Return an output that has one thing an image as a list; None for any other."""
    if hasattr(output, "columns") and hasattr(output, "to_dict"):
        output = output.to_dict("records")
    elif hasattr(output, "to_list") or (isinstance(output, np.ndarray) and output.dtype == object):
        output = output.tolist()
    if not isinstance(output, list) or heads_of(output) is not None:
        return None
    if len(output) != images:
        raise ModelError(f"the model answers {images} images with a list of {len(output)}")
    return output


def _named(row: Any, heads: Heads) -> Any:
    return one_head(row, heads) if heads.only is not None else several_heads(row, heads)


def _split(part: Any, images: int) -> list[Any]:
    """Return a head's part for each image."""
    listed = _listed(part, images)
    if listed is not None:
        return listed
    if not isinstance(part, np.ndarray) or part.ndim == 0 or len(part) != images:
        raise ModelError(
            f"the model answers {images} images with {shape_of(part)}, not with one thing an image: a list of objects, "
            "or arrays whose first dimension is the images'"
        )
    return list(part)
