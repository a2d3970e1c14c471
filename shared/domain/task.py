"""What a model version computes for an image: its task, which decides the form of its outputs."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Task(StrEnum):
    """The kinds of outputs that a version may have; a version that names none is a classification."""

    CLASSIFICATION = "classification"
    """One class of several, with a probability for each."""
    MULTILABEL = "multilabel"
    """Any number of classes, each with a score of its own."""
    REGRESSION = "regression"
    """Named numbers."""
    EMBEDDING = "embedding"
    """A vector."""
    DETECTION = "detection"
    """Boxes in the picture, each with a class and a score."""
    SEGMENTATION = "segmentation"
    """A class for each pixel."""
    JSON = "json"
    """Whatever JSON the model answers."""

    @property
    def needs_labels(self) -> bool:
        """Whether the model's classes have to be named."""
        return self in (Task.CLASSIFICATION, Task.MULTILABEL, Task.DETECTION, Task.SEGMENTATION)


TASKS_OF: Final[Mapping[str, tuple[Task, ...]]] = {
    "labels": tuple(task for task in Task if task.needs_labels),
    "top_k": (Task.CLASSIFICATION, Task.MULTILABEL),
    "activation": (Task.CLASSIFICATION, Task.MULTILABEL, Task.SEGMENTATION),
    "threshold": (Task.MULTILABEL, Task.DETECTION, Task.SEGMENTATION),
    "max_detections": (Task.DETECTION,),
    "raw_boxes": (Task.DETECTION,),
    "iou_threshold": (Task.DETECTION,),
    "values": (Task.REGRESSION,),
    "normalize": (Task.EMBEDDING,),
    "encoding": (Task.EMBEDDING,),
    "max_bytes": (Task.JSON,),
}
"""The tasks for which a key of the metadata means something; keys that are not here mean something for all."""
