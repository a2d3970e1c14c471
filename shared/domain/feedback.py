"""Feedback: what somebody says the right answer for a prediction's image is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shared.domain.identifiers import FeedbackId, PredictionId
from shared.domain.timestamps import microseconds, rfc3339

LONGEST_LABEL: Final = 255
LONGEST_COMMENT: Final = 2000
LONGEST_BY: Final = 255
LARGEST_VALUE: Final = 16 * 1024
"""Bytes of `value` as JSON."""
MOST_BOXES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The right answer: a class, or a value (numbers, classes, any JSON), or boxes `{"label": …, "box": […]}`.

    Exactly one of the three is set. `boxes` may be empty: the picture has none.
    """

    label: str | None = None
    value: Any = None
    boxes: list[dict[str, Any]] | None = None
    comment: str | None = None
    by: str | None = None

    def members(self) -> dict[str, Any]:
        """Return what is set, as it is stored and shown."""
        every = {"label": self.label, "value": self.value, "boxes": self.boxes, "comment": self.comment, "by": self.by}
        return {name: value for name, value in every.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One stored answer to one prediction; `created_at` has its time zone."""

    id: FeedbackId
    prediction_id: PredictionId
    label: str | None
    value: Any
    boxes: list[dict[str, Any]] | None
    comment: str | None
    by: str | None
    created_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return the object of the HTTP API."""
        return {
            "id": self.id,
            "prediction_id": self.prediction_id,
            "label": self.label,
            "value": self.value,
            "boxes": self.boxes,
            "comment": self.comment,
            "by": self.by,
            "created_at": rfc3339(microseconds(self.created_at)),
        }
