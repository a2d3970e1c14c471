"""The outputs of a multilabel version: the classes at or above the threshold, and the scores of the best few."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from worker.models.metadata.model_metadata import ModelMetadata
from worker.models.outputs.labels import unique_labels
from worker.models.outputs.writer import DIGITS, Output, Size, check_labels, write_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.floating[Any]]


class MultilabelWriter:
    """Writes one output for each row of scores; a label of several classes has each class' index appended."""

    needs_size = False

    def __init__(self, metadata: ModelMetadata) -> None:
        self._labels = metadata.labels
        self._names = unique_labels(metadata.labels)
        self._threshold = metadata.threshold
        self._top_k = metadata.top_k

    def write(self, scores: "Scores", sizes: Sequence[Size] = ()) -> Sequence[Output]:  # noqa: ARG002
        """Return an output for each of (images, labels); raises ModelError for another shape."""
        check_labels(scores, self._labels)
        return write_finite(scores, self._write_rows)

    def _write_rows(self, scores: "Scores") -> list[bytes]:
        order = np.argsort(-scores, axis=1, kind="stable")
        falling = np.take_along_axis(scores, order, axis=1)
        counts = (falling >= self._threshold).sum(axis=1).tolist()
        best = np.round(falling[:, : self._top_k].astype(np.float64), DIGITS).tolist()
        outputs = []
        for indices, count, row in zip(order.tolist(), counts, best, strict=True):
            names = [self._names[index] for index in indices[: max(count, len(row))]]
            scored = dict(zip(names[: len(row)], row, strict=True))
            outputs.append(orjson.dumps({"predicted_classes": names[:count], "scores": scored}))
        return outputs
