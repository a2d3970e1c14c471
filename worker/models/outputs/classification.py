"""A model's scores as the JSON output that people get."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from worker.models.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIGITS = 6
"""Probabilities are rounded to a millionth: more digits are the device's noise and cost bytes."""


def unique_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels as names that are all different: a label of several classes gets each class' index appended.

    ImageNet has two classes called crane: `crane (134)` and `crane (517)`.
    """
    many = Counter(labels)
    if len(many) == len(labels):
        return labels
    taken, names = {label for label, times in many.items() if times == 1}, []
    for index, label in enumerate(labels):
        name = label if many[label] == 1 else f"{label} ({index})"
        while many[label] > 1 and name in taken:  # another class already has this name
            name = f"{name} ({index})"
        taken.add(name)
        names.append(name)
    return tuple(names)


def scores_to_json(
    scores: "NDArray[np.floating[Any]]", *, labels: tuple[str, ...], top_k: int, names: tuple[str, ...] | None = None
) -> list[bytes]:
    """Return one output for each row of scores (images, labels): its `top_k` best, best first.

    `names` are the keys of the probabilities: the labels, or what `unique_labels` makes of them.
    2 microseconds an image for 10 classes in a batch of 64. Raises ModelError for another shape,
    NaN or infinity.
    """
    if scores.ndim != 2 or scores.shape[1] != len(labels):  # noqa: PLR2004  images and labels
        raise ModelError(f"the model answers in the shape {scores.shape} and has {len(labels)} labels")
    # A sum is finite only if every term is: one pass, no array of flags.
    if not np.isfinite(scores.sum(dtype=np.float64)):
        raise ModelError("the model's scores are not finite numbers")
    order = _best(scores, top_k)
    best = np.round(np.take_along_axis(scores, order, axis=1).astype(np.float64), DIGITS).tolist()
    outputs, names = [], names or labels
    for indices, probabilities in zip(order.tolist(), best, strict=True):
        output = {
            "predicted_class": labels[indices[0]],
            "predicted_index": indices[0],
            "confidence": probabilities[0],
            "probabilities": dict(zip([names[index] for index in indices], probabilities, strict=True)),
        }
        outputs.append(orjson.dumps(output))
    return outputs


def _best(scores: "NDArray[np.floating[Any]]", top_k: int) -> "NDArray[np.intp]":
    """Return the columns of each row's `top_k` highest scores, highest first."""
    falling = -scores
    if top_k * 4 >= scores.shape[1]:
        return np.argsort(falling, axis=1, kind="stable")[:, :top_k]
    # Sorting 64 rows of 1,000 classes takes 3 ms, partitioning off the five best 0.6.
    some = np.sort(np.argpartition(falling, top_k, axis=1)[:, :top_k], axis=1)
    within = np.argsort(np.take_along_axis(falling, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, within, axis=1)
