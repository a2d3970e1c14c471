"""The scores of a forward pass, one row an image, found in whatever a model answers with."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch

from worker.models.errors import ModelError
from worker.models.metadata.metadata_values import Heads
from worker.models.outputs.heads import one_head, several_heads

_ROUNDING: Final = 1e-3
_FLIPPED: Final = 0.01
"""Share of whole numbers, as the classes of pixels, that rounding may change."""


def checked_scores(
    output: object,
    *,
    images: int,
    heads: Heads | None = None,
    usual: tuple[str, ...] = ("logits",),
    names: tuple[str, ...] = (),
) -> torch.Tensor:
    """Return the scores, one row for each of the images; raises ModelError where there are fewer or more.

    Several named heads stand beside each other in the rows. `usual` are the names of a head that counts unnamed.
    Where the scores themselves have `names` (a data frame's columns, the keys of one dict or of a dict an image), they
    are put into that order.
    """
    if isinstance(output, torch.Tensor) and heads is None:
        return _rows(output, images)
    if heads is None and names:
        output = _in_order(output, names)
    if heads is None or heads.only is not None:
        return _rows(_tensor(one_head(output, heads, usual=usual)), images)
    parts = [_rows(_tensor(part), images) for part in several_heads(output, heads).values()]
    return torch.cat([part.reshape(images, -1).float() for part in parts], dim=1)


def equal_but_for_rounding(scores: Any, expected: Any) -> bool:
    """Tell whether two ways to compute the same differ by a thousandth of the largest score at most.

    Scores are tensors, arrays, or nested lists and dicts of those; of whole numbers one in a hundred may differ.
    """
    if isinstance(expected, Mapping):
        return (
            isinstance(scores, Mapping)
            and scores.keys() == expected.keys()
            and all(equal_but_for_rounding(scores[name], expected[name]) for name in expected)
        )
    if isinstance(expected, (list, tuple)):
        return len(scores) == len(expected) and all(map(equal_but_for_rounding, scores, expected))
    if isinstance(expected, (torch.Tensor, np.ndarray)):
        return _nearly_equal(torch.as_tensor(scores), torch.as_tensor(expected))
    return type(scores) is type(expected)


def _nearly_equal(scores: torch.Tensor, expected: torch.Tensor) -> bool:
    if scores.shape != expected.shape:
        return False
    if scores.numel() == 0:
        return True
    if not expected.is_floating_point():
        return bool((scores != expected).double().mean() <= _FLIPPED)
    scores, expected = scores.double(), expected.double()
    return bool((scores - expected).abs().max() <= _ROUNDING * expected.abs().max())


def _in_order(output: Any, names: tuple[str, ...]) -> Any:
    """Return scores that have the names in the order of those; any other output as it is."""
    if hasattr(output, "columns") and hasattr(output, "to_numpy"):
        known = {str(name): name for name in output.columns}
        return output[[known[name] for name in names]] if _are_equal(known, names) else output
    if isinstance(output, list) and output and all(isinstance(row, Mapping) for row in output):
        rows = [{str(name): value for name, value in row.items()} for row in output]
        if all(_are_equal(row, names) for row in rows):
            return [[row[name] for name in names] for row in rows]
    if isinstance(output, Mapping):
        columns = {str(name): value for name, value in output.items()}
        if _are_equal(columns, names) and all(np.ndim(value) == 1 for value in columns.values()):
            return torch.stack([_tensor(columns[name]) for name in names], dim=1)
    return output


def _are_equal(found: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return len(found) == len(names) and found.keys() == set(names)


def _rows(scores: torch.Tensor, images: int) -> torch.Tensor:
    if scores.ndim == 0 or len(scores) != images:
        raise ModelError(
            f"the model answers {images} images in the shape {[*scores.shape]}: its first dimension must be the images'"
        )
    return scores


def _tensor(output: object) -> torch.Tensor:
    """Return one head as a tensor."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, list) and output and all(isinstance(row, torch.Tensor) for row in output):
        return torch.stack(output)
    try:
        array = np.asarray(output)
    except ValueError:  # rows of different lengths
        raise ModelError("the model answers with rows of different lengths") from None
    if array.dtype.kind not in "fiub":
        what = f"an array of {array.dtype}" if isinstance(output, np.ndarray) else type(output).__name__
        what += f" of {type(output[0]).__name__}" if isinstance(output, list) and output else ""
        raise ModelError(
            f"the model answers with {what}, not with numbers: let it return an array (images, numbers), or "
            "use the task json for a dict an image"
        )
    # torch has no reversed views, of which one with a single row is contiguous to NumPy, no other byte order than the
    # machine's, and no numbers above 64 bits.
    kind = np.dtype(np.float64) if array.dtype == np.longdouble else array.dtype.newbyteorder("=")
    array = np.ascontiguousarray(array, dtype=kind)
    return torch.from_numpy(array.copy() if min(array.strides, default=0) < 0 else array)
