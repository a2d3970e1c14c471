"""Reads the raw head of a detector, one array of all the boxes that it considers, into the few that it has found.

Each box counts for the class with its highest score. Of those that reach the threshold, non-maximum suppression leaves
out what overlaps a better one of the same class.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch

from worker.models.errors import ModelError
from worker.models.metadata.model_metadata import ModelMetadata, RawBoxes
from worker.models.outputs.heads import in_memory, one_head
from worker.models.outputs.scores import checked_scores

MOST_BOXES: Final = 10_000
"""Boxes of an image that are compared with each other, those with the highest scores. Where all are of one class and
few overlap, 10,000 take 0.21 s of a core and 30,000 take 1.9 s (torchvision 0.29, AMD EPYC)."""
_ROUNDING: Final = 1e-3
_DIMENSIONS: Final = 3
_BOX: Final = 4


class RawBoxesReader:
    """Boxes, labels and scores of an image, as `DetectionWriter` takes them. `joined` gives a list of those.

    An image whose boxes can't be used has a ModelError in its place.
    """

    is_tensor = False
    is_comparable = False

    def __init__(self, layout: RawBoxes, metadata: ModelMetadata) -> None:
        from torchvision.ops import batched_nms  # noqa: PLC0415  slow, and no other task needs it

        self._layout = layout
        self._classes = len(metadata.labels)
        self._heads = metadata.output
        self._threshold = metadata.threshold
        self._overlap = metadata.iou_threshold
        self._batched_nms = batched_nms

    def read(self, output: object, *, images: int) -> list[Any]:
        """Return the boxes of each image; raises ModelError for an output that has not the layout that is named."""
        found = checked_scores(one_head(output, self._heads), images=images).float()
        self._check_shape(found)
        if self._layout is RawBoxes.YOLOV8:
            found = found.transpose(1, 2)
        return [self._of_image(rows) for rows in found]

    def activated(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the same: the scores are those of the model."""
        return scores

    def joined(self, portions: Sequence[list[Any]], *, images: int, activate: bool = True) -> list[Any]:  # noqa: ARG002
        """Return the images of all portions."""
        return [image for portion in portions for image in portion][:images]

    def _check_shape(self, found: torch.Tensor) -> None:
        wanted = self._layout.columns(self._classes)
        axis = 1 if self._layout is RawBoxes.YOLOV8 else 2
        if found.ndim == _DIMENSIONS and found.shape[axis] == wanted:
            return
        words = {
            RawBoxes.YOLOV8: f"(images, {wanted}, boxes): 4 and {self._classes} labels",
            RawBoxes.YOLOV5: f"(images, boxes, {wanted}): 5 and {self._classes} labels",
            RawBoxes.YOLOV10: f"(images, boxes, {wanted})",
        }[self._layout]
        raise ModelError(f"the model answers in the shape {[*found.shape]}; raw_boxes {self._layout} is {words}")

    def _of_image(self, rows: torch.Tensor) -> Any:
        """Return what was found in one image; its rows are (boxes, columns)."""
        if not rows.sum().isfinite():
            return ModelError("the model's boxes or scores are not finite numbers")
        boxes, scores, labels = self._parts(rows)
        if scores.numel() and (scores.min() < -_ROUNDING or scores.max() > 1 + _ROUNDING):
            low, high = float(scores.min()), float(scores.max())
            return ModelError(
                f"the scores of raw_boxes must be from 0 to 1, and are from {low:.3g} to {high:.3g}: "
                "does the graph end before its sigmoid?"
            )
        kept = scores >= self._threshold
        boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
        if self._layout is not RawBoxes.YOLOV10:
            best = scores.argsort(descending=True, stable=True)[:MOST_BOXES]
            boxes, scores, labels = boxes[best], scores[best], labels[best]
            kept = self._batched_nms(boxes, scores, labels, self._overlap)
            boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
        return in_memory({"boxes": boxes, "scores": scores, "labels": labels})

    def _parts(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return boxes (x0, y0, x1, y1), each one's highest score and the class that has it."""
        if self._layout is RawBoxes.YOLOV10:
            return rows[:, :_BOX], rows[:, _BOX], rows[:, _BOX + 1].long()
        centres, halves = rows[:, :2], rows[:, 2:_BOX] / 2
        scores = rows[:, -self._classes :]
        if self._layout is RawBoxes.YOLOV5:
            scores = scores * rows[:, _BOX : _BOX + 1]
        best, labels = scores.max(dim=1)
        return torch.cat([centres - halves, centres + halves], dim=1), best, labels
