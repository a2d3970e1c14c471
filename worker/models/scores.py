"""The scores of a forward pass, found in whatever a model answers with."""

from typing import Final

import numpy as np
import torch

from worker.models.errors import ModelError

_ROUNDING: Final = 1e-3


def checked_scores(output: object, *, images: int) -> torch.Tensor:
    """Return the scores, one row for each of the images; raises ModelError where there are fewer or more."""
    scores = _tensor(output)
    if scores.ndim == 0 or len(scores) != images:
        raise ModelError(f"the model answers {images} images in the shape {[*scores.shape]}")
    return scores


def equal_but_for_rounding(scores: torch.Tensor, expected: torch.Tensor) -> bool:
    """Tell whether the scores of two ways to compute the same differ by a thousandth of the largest score at most."""
    if scores.shape != expected.shape:
        return False
    if scores.numel() == 0:
        return True
    scores, expected = scores.double(), expected.double()
    return bool((scores - expected).abs().max() <= _ROUNDING * expected.abs().max())


def _tensor(output: object) -> torch.Tensor:
    """Return a forward pass' output as a tensor: of several outputs `logits` or the first."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, dict) and output:
        return _tensor(output.get("logits", next(iter(output.values()))))
    if isinstance(output, (tuple, list)) and output:
        return _tensor(output[0])
    array = np.asarray(output)
    if array.dtype.kind not in "fiu":
        raise ModelError(f"the model answers with {type(output).__name__}, not with numbers")
    return torch.from_numpy(np.ascontiguousarray(array))
