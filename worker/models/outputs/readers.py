"""Reads a forward pass' output, on the device, into what a task's outputs are written from."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch

from shared.domain.task import Task
from worker.models.errors import ModelError
from worker.models.metadata.metadata_values import Heads
from worker.models.metadata.model_metadata import Activation, ModelMetadata
from worker.models.outputs.heads import in_memory, one_head
from worker.models.outputs.raw_boxes import RawBoxesReader
from worker.models.outputs.rows import rows_of
from worker.models.outputs.scores import checked_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCORES: Final = ("logits",)
_VECTORS: Final = ("image_embeds", "pooler_output")
"""transformers' names of the head with one vector an image."""
_MASKS: Final = ("out", "logits")
"""Names of the head with the classes of pixels: torchvision's, transformers'."""
_MOST_CLASSES: Final = 255


class OutputReader(Protocol):
    """Reads the output of one forward pass, and joins those of a micro-batch."""

    is_tensor: bool
    """Whether `read` returns one tensor, computed without looking at its values: it may be part of a CUDA graph."""
    is_comparable: bool
    """Whether the outputs of two ways to compute the same noise tell if those agree."""

    def read(self, output: object, *, images: int) -> Any:
        """Return the output of so many images; raises ModelError for one that does not fit the task."""

    def activated(self, scores: torch.Tensor) -> torch.Tensor:
        """Return scores in float32 as they are answered."""

    def joined(self, portions: Sequence[Any], *, images: int, activate: bool = True) -> Any:
        """Return the output of a micro-batch in memory; the last portion may have more images than there are."""


class ScoresReader:
    """A table of numbers, one row an image. `joined` gives float32 (images, …)."""

    is_tensor = True
    is_comparable = True

    def __init__(
        self,
        heads: Heads | None = None,
        *,
        activation: Activation = Activation.NONE,
        usual: tuple[str, ...] = _SCORES,
        names: tuple[str, ...] = (),
    ) -> None:
        self._heads = heads
        self._names = names
        self._activation = activation
        self._usual = usual

    def read(self, output: object, *, images: int) -> torch.Tensor:
        """Return one row of raw scores an image."""
        return checked_scores(output, images=images, heads=self._heads, usual=self._usual, names=self._names)

    def activated(self, scores: torch.Tensor) -> torch.Tensor:
        """Return probabilities, or the raw scores if the version asks for those."""
        scores = scores.float()
        if self._activation is Activation.SOFTMAX:
            return scores.softmax(dim=1) if scores.ndim > 1 else scores
        # An infinite score, as where half precision overflows, would be a certain class; times 0 it is not a number.
        return scores.sigmoid() + scores * 0 if self._activation is Activation.SIGMOID else scores

    def joined(self, portions: Sequence[torch.Tensor], *, images: int, activate: bool = True) -> "NDArray[Any]":
        """Return the scores of all portions; `activate` is false for the raw ones."""
        scores = portions[0] if len(portions) == 1 else torch.cat([*portions])
        scores = scores[:images]
        found: NDArray[Any] = (self.activated(scores) if activate else scores.float()).cpu().numpy()
        return found


class RowsReader:
    """Anything, one row an image. `joined` gives a list of rows."""

    is_tensor = False
    is_comparable = False

    def __init__(self, heads: Heads | None) -> None:
        self._heads = heads

    def read(self, output: object, *, images: int) -> list[Any]:
        """Return one row an image, arrays in memory."""
        return rows_of(output, images=images, heads=self._heads)

    def activated(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the same: rows are answered as the model gives them."""
        return scores

    def joined(self, portions: Sequence[list[Any]], *, images: int, activate: bool = True) -> list[Any]:  # noqa: ARG002
        """Return the rows of all portions."""
        return list(chain.from_iterable(portions))[:images]


class MasksReader(RowsReader):
    """The class of each pixel. `joined` gives uint8 (height, width) an image, or a ModelError.

    Computed on the device: the scores of all classes are up to a hundred times as large.
    """

    is_comparable = True

    def __init__(self, heads: Heads | None, *, threshold: float, activation: Activation) -> None:
        super().__init__(heads)
        self._threshold = threshold
        self._activation = activation

    def read(self, output: object, *, images: int) -> list[Any]:
        """Return a mask an image."""
        found = checked_scores(one_head(output, self._heads, usual=_MASKS), images=images)
        if found.ndim == 3 and not found.is_floating_point():  # noqa: PLR2004  images, height, width
            classes, usable = found, torch.ones(images, dtype=torch.bool)
        elif found.ndim == 4:  # noqa: PLR2004  images, classes, height, width
            classes, usable = self._best(found.float()), found.float().sum(dim=(1, 2, 3)).isfinite().cpu()
        else:
            raise ModelError(
                f"the model answers in the shape {[*found.shape]}, not (images, classes, height, width) or whole "
                "numbers (images, height, width)"
            )
        if classes.numel() and (int(classes.max()) > _MOST_CLASSES - 1 or int(classes.min()) < 0):
            raise ModelError(f"the model answers with classes of pixels outside 0..{_MOST_CLASSES - 1}")
        masks = in_memory(classes.to(torch.uint8))
        return [
            mask if good else ModelError("the model's scores are not finite numbers")
            for mask, good in zip(masks, usable.tolist(), strict=True)
        ]

    def _best(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the class with the highest score; a single score is that of class 1, else it is 0."""
        if scores.shape[1] > 1:
            return scores.argmax(dim=1)
        probability = scores[:, 0] if self._activation is Activation.NONE else scores[:, 0].sigmoid()
        return (probability >= self._threshold).to(torch.uint8)


def output_reader(metadata: ModelMetadata) -> OutputReader:
    """Return what reads a version's outputs."""
    match metadata.task:
        case Task.DETECTION if metadata.raw_boxes is not None:
            return RawBoxesReader(metadata.raw_boxes, metadata)
        case Task.DETECTION | Task.JSON:
            return RowsReader(metadata.output)
        case Task.SEGMENTATION:
            return MasksReader(metadata.output, threshold=metadata.threshold, activation=metadata.activation)
        case Task.EMBEDDING:
            return ScoresReader(metadata.output, usual=_VECTORS)
        case _:
            names = metadata.labels or tuple(metadata.values)
            return ScoresReader(metadata.output, activation=metadata.activation, names=names)
