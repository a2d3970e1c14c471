"""Compares a version's scores, computed in a faster way, with its scores of fp32 and exact decoding.

Compared are the images that the version is least in doubt about. Where two classes score nearly alike, any rounding
may exchange them: of a pretrained EfficientNet-Lite0, layers rounded to fp16 exchanged the best class of 2 of the 512
shipped photographs (scores that differed by 0.005 at most), and 5% of the JPEG's samples rounded the other way that of
14; neither did for any of the clearer half. A version knows its clients' images better than these: doubt is rarer in
service.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.domain.model_route import Agreement
from worker.models.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float32]
    """(images, labels), as answered: probabilities, or raw scores if the metadata asks for those."""

AGREES: Final = 0.995
"""Fraction of images whose best class has to be the same, for `auto` to choose a faster way."""


def compare(scores: "Scores", reference: "Scores") -> Agreement:
    """Return how far scores agree with the reference's, of the same images.

    Raises ModelError for scores of another shape, for other arrays than (images, labels), and for scores that are not
    finite numbers.
    """
    if scores.ndim != 2 or not scores.size or scores.shape != reference.shape:  # noqa: PLR2004  images and labels
        raise ModelError(f"scores in the shape {[*scores.shape]}, not {[*reference.shape]} of images and labels")
    if not np.isfinite(scores).all():
        raise ModelError("scores that are not finite")
    same = scores.argmax(axis=1) == reference.argmax(axis=1)
    return Agreement(
        images=len(scores),
        top1=float(same.mean()),
        largest_difference=float(np.abs(scores - reference).max()),
    )


def clearest_half(reference: "Scores") -> "NDArray[np.intp]":
    """Return the numbers, ascending, of the half of the images whose best class leads by most; all with one label."""
    images, labels = reference.shape
    if labels == 1:
        return np.arange(images)
    best = np.partition(reference, labels - 2, axis=1)[:, -2:]
    by_doubt = np.argsort(best[:, 0] - best[:, 1], kind="stable")
    return np.sort(by_doubt[: (images + 1) // 2])


def why_meaningless(reference: "Scores") -> str:
    """Return why agreement with such a reference would say nothing; empty where it says something."""
    if reference.shape[1] == 1:
        return "there is one label, which is always the best"
    if (reference == reference[0]).all():
        return "the scores are the same for all images"
    return ""
