"""What a model version computes for an image: its task, which decides the form of its outputs."""

from enum import StrEnum


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
