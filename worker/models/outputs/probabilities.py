"""Notices a model whose scores are probabilities already, which another softmax or sigmoid would flatten."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from worker.models.metadata.model_metadata import Activation

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WARNING: Final = "these look like probabilities already: set activation: none"
_ENOUGH: Final = 16
"""So many raw scores of independent classes between 0 and 1 are no chance: half of a model's are mostly negative."""


def already_probabilities(activation: Activation, raw_scores: "Callable[[int], NDArray[Any]]") -> str | None:
    """Return a warning where raw scores look like probabilities of what `activation` makes; None where they don't.

    `raw_scores` gives the scores (1, labels) of one image of noise, by its number.
    """
    if activation is Activation.NONE:
        return None
    scores = raw_scores(0)
    if scores.ndim != 2 or scores.shape[1] == 1 or scores.min() < 0 or scores.max() > 1:  # noqa: PLR2004
        return None
    if activation is Activation.SOFTMAX:
        return _WARNING if np.allclose(scores.sum(axis=1), 1, atol=1e-3) else None
    return _WARNING if scores.size >= _ENOUGH else None
