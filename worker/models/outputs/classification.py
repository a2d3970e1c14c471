"""The outputs of a classification: the best class, and the probabilities of the best few."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from worker.models.metadata.model_metadata import ModelMetadata
from worker.models.outputs.labels import unique_labels
from worker.models.outputs.writer import DIGITS, Output, Size, check_labels, write_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ClassificationWriter:
    """Writes one output for each row of scores."""

    needs_size = False

    def __init__(self, metadata: ModelMetadata) -> None:
        self._labels = metadata.labels
        self._names = unique_labels(metadata.labels)
        self._top_k = metadata.top_k

    def write(self, scores: "NDArray[np.floating[Any]]", sizes: Sequence[Size] = ()) -> Sequence[Output]:  # noqa: ARG002
        """Return an output for each of (images, labels); raises ModelError for another shape."""

        def write_rows(rows: "NDArray[np.floating[Any]]") -> list[bytes]:
            return scores_to_json(rows, labels=self._labels, top_k=self._top_k, names=self._names)

        check_labels(scores, self._labels)
        return write_finite(scores, write_rows)


def scores_to_json(
    scores: "NDArray[np.floating[Any]]", *, labels: tuple[str, ...], top_k: int, names: tuple[str, ...] | None = None
) -> list[bytes]:
    """Return one output for each row of scores (images, labels): its `top_k` best, best first.

    `names` are the keys of the probabilities: the labels, or what `unique_labels` makes of them.
    2 microseconds an image for 10 classes in a batch of 64. Scores are finite.
    """
    order = best_columns(scores, top_k)
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


def best_columns(scores: "NDArray[np.floating[Any]]", top_k: int) -> "NDArray[np.intp]":
    """Return the columns of each row's `top_k` highest scores, highest first."""
    falling = -scores
    if top_k * 4 >= scores.shape[1]:
        return np.argsort(falling, axis=1, kind="stable")[:, :top_k]
    # Sorting 64 rows of 1,000 classes takes 3 ms, partitioning off the five best 0.6.
    some = np.sort(np.argpartition(falling, top_k, axis=1)[:, :top_k], axis=1)
    within = np.argsort(np.take_along_axis(falling, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, within, axis=1)
