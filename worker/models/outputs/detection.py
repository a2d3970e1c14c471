"""The outputs of a detection: boxes in the original picture's pixels, each with its class and score, best first.

A row is what the model answers for one image: `boxes` (any number, 4) as x0, y0, x1, y1 in pixels of the model's input,
`labels` (any number) as indices, `scores` (any number) or (any number, classes). So torchvision's detectors answer. Of
transformers' detectors, `pred_boxes` (centre and size, from 0 to 1) and `logits` (whose last class is none) are read.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from worker.decode.geometry import place
from worker.models.errors import ModelError
from worker.models.metadata.model_metadata import ModelMetadata
from worker.models.outputs.heads import shape_of
from worker.models.outputs.writer import DIGITS, Output, Size, as_json, write_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "boxes": ("boxes", "detection_boxes"),
    "labels": ("labels", "classes", "class_ids", "detection_classes"),
    "scores": ("scores", "confidences", "detection_scores"),
}
_MATRIX: Final = 2
_SUBPIXELS: Final = 2
"""Digits of a coordinate: a hundredth of a pixel."""


class DetectionWriter:
    """Writes the detections of each row that reach the threshold, so many at most, clipped to the picture."""

    needs_size = True

    def __init__(self, metadata: ModelMetadata) -> None:
        self._spec = metadata.spec
        self._labels = metadata.labels
        self._threshold = metadata.threshold
        self._most = metadata.max_detections

    def write(self, found: Sequence[Any], sizes: Sequence[Size] = ()) -> Sequence[Output]:
        """Return an output for each image, whose picture has the size at the same place."""
        return write_each(found, self._output, sizes)

    def _output(self, row: Any, size: Size) -> bytes:
        boxes, labels, scores = self._parts(row)
        placement = place(size, self._spec)
        detections: list[dict[str, object]] = []
        for index in np.argsort(-scores, kind="stable").tolist():
            if scores[index] < self._threshold or len(detections) == self._most:
                break
            x0, y0, x1, y1 = placement.in_picture(boxes[index].tolist())
            # A box of nothing lies in what was cut off, or in the border of a picture smaller than the crop.
            if x1 <= x0 or y1 <= y0:
                continue
            detections.append(
                {
                    "label": self._labels[labels[index]],
                    "score": round(float(scores[index]), DIGITS),
                    "box": [round(side, _SUBPIXELS) for side in (x0, y0, x1, y1)],
                }
            )
        return as_json({"detections": detections})

    def _parts(self, row: Any) -> "tuple[Array, Array, Array]":
        """Return boxes, labels and scores of those that reach the threshold; raises ModelError where they don't fit."""
        if not isinstance(row, Mapping):
            hint = ": if it is a raw head, as YOLO's, say which with `raw_boxes`" if np.ndim(row) == _MATRIX else ""
            raise ModelError(
                f"the model answers with {shape_of(row)} an image, not with boxes, labels and scores{hint}"
            )
        if "pred_boxes" in row and "logits" in row:
            boxes, labels, scores = self._of_transformers(row)
        else:
            boxes, scores = _part(row, "boxes"), _part(row, "scores")
            if scores.ndim == 2 and scores.shape[1] > 0:  # noqa: PLR2004  boxes and classes
                labels, scores = scores.argmax(axis=1), scores.max(axis=1)
            else:
                labels = _part(row, "labels")
        boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
        if boxes.shape != (len(boxes), 4) or {labels.shape, scores.shape} != {(len(boxes),)}:
            raise ModelError(
                f"the model answers with boxes {[*boxes.shape]}, labels {[*labels.shape]}, scores {[*scores.shape]}"
            )
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ModelError("the model's boxes or scores are not finite numbers")
        kept = scores >= self._threshold
        boxes, labels, scores = boxes[kept], labels[kept].astype(np.int64), scores[kept]
        if len(labels) and (labels.max() >= len(self._labels) or labels.min() < 0):
            raise ModelError(f"the model answers with class {labels.max()} and has {len(self._labels)} labels")
        return boxes, labels, scores

    def _of_transformers(self, row: Mapping[str, Any]) -> "tuple[Array, Array, Array]":
        logits, relative = (np.asarray(row[name], np.float32) for name in ("logits", "pred_boxes"))
        size = self._spec.input_size
        assert size is not None  # noqa: S101  a spec whose input's size is open is refused when it is read
        height, width = size
        if logits.shape[1] == len(self._labels):
            chances = 1 / (1 + np.exp(-logits))
        else:
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            chances = (powers / powers.sum(axis=1, keepdims=True))[:, :-1]
        centres, halves = relative[:, :2], relative[:, 2:] / 2
        boxes = np.concatenate([centres - halves, centres + halves], axis=1) * (width, height, width, height)
        return boxes, chances.argmax(axis=1), chances.max(axis=1)


def _part(row: Mapping[str, Any], name: str) -> "Array":
    for known in _NAMES[name]:
        if known in row:
            return np.asarray(row[known])
    raise ModelError(f"the model answers with {', '.join(map(str, row))} an image and no {name}: name it with `output`")
