"""Chooses what writes a version's outputs, by its task."""

from collections.abc import Callable, Mapping
from typing import Final

from shared.domain.task import Task
from worker.models.metadata.model_metadata import ModelMetadata
from worker.models.outputs.classification import ClassificationWriter
from worker.models.outputs.detection import DetectionWriter
from worker.models.outputs.embedding import EmbeddingWriter
from worker.models.outputs.json_object import JsonWriter
from worker.models.outputs.multilabel import MultilabelWriter
from worker.models.outputs.regression import RegressionWriter
from worker.models.outputs.segmentation import SegmentationWriter
from worker.models.outputs.writer import OutputWriter

_WRITERS: Final[Mapping[Task, Callable[[ModelMetadata], OutputWriter]]] = {
    Task.CLASSIFICATION: ClassificationWriter,
    Task.MULTILABEL: MultilabelWriter,
    Task.REGRESSION: RegressionWriter,
    Task.EMBEDDING: EmbeddingWriter,
    Task.DETECTION: DetectionWriter,
    Task.SEGMENTATION: SegmentationWriter,
    Task.JSON: JsonWriter,
}


def output_writer(metadata: ModelMetadata) -> OutputWriter:
    """Return what writes a version's outputs."""
    return _WRITERS[metadata.task](metadata)


def needs_size(task: Task) -> bool:
    """Return whether a task's outputs lie in the original picture, whose size has to come with its pixels."""
    return task in (Task.DETECTION, Task.SEGMENTATION)
