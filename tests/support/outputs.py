"""An output of each task, as the worker writes it."""

from typing import Any, Final

from shared.domain.task import Task

OUTPUTS: Final[dict[Task, dict[str, Any]]] = {
    Task.CLASSIFICATION: {
        "predicted_class": "cat",
        "predicted_index": 0,
        "confidence": 0.75,
        "probabilities": {"cat": 0.75, "dog": 0.25},
    },
    Task.MULTILABEL: {"predicted_classes": ["dog", "cat"], "scores": {"dog": 0.75, "cat": 0.5, "a bird": 0.25}},
    Task.REGRESSION: {"values": {"height": 2, "age": -3.5}, "units": {"age": "years"}},
    Task.EMBEDDING: {"dimensions": 3, "embedding": [0.5, -0.5, 1]},
    Task.DETECTION: {
        "detections": [
            {"label": "cat", "score": 0.5, "box": [1, 2.5, 3, 4]},
            {"label": "a; dog", "score": 0.25, "box": [0, 0, 8, 9]},
        ]
    },
    Task.SEGMENTATION: {
        "width": 8,
        "height": 9,
        "mask": "aGk=",
        "classes": [{"label": "dog", "index": 1, "share": 0.25}],
    },
    Task.JSON: {"text": "=1+1", "lines": [{"at": [1, 2]}], "seen": None},
}
