"""Schemas of feedback: what is given, what is answered."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.base import Answer, Id, Instant, Page
from shared.domain.feedback import LONGEST_BY, LONGEST_COMMENT, LONGEST_LABEL, MOST_BOXES


class LabelledBox(BaseModel):
    """An object in the picture."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(min_length=1, max_length=LONGEST_LABEL, examples=["cat"])
    box: list[float] = Field(
        min_length=4, max_length=4, description="x1, y1, x2, y2 in the picture's pixels", examples=[[12, 30, 211, 187]]
    )


class FeedbackAnswer(BaseModel):
    """The right answer: exactly one of `label`, `value` and `boxes`."""

    model_config = ConfigDict(extra="forbid")

    label: str | None = Field(
        default=None,
        min_length=1,
        max_length=LONGEST_LABEL,
        description="Of a classification: the class, which the model need not know",
        examples=["7"],
    )
    value: Any = Field(
        default=None,
        description="Of a regression: an object of numbers, or the number where there is one; of a multilabel the list "
        "of its classes; else any JSON of at most 16 KB",
    )
    boxes: list[LabelledBox] | None = Field(
        default=None, max_length=MOST_BOXES, description="Of a detection: every object, an empty list for none"
    )
    comment: str | None = Field(default=None, min_length=1, max_length=LONGEST_COMMENT)
    by: str | None = Field(
        default=None, min_length=1, max_length=LONGEST_BY, description="Who says so", examples=["anna"]
    )


class Feedback(Answer):
    """One answer that was given."""

    id: Id
    prediction_id: Id
    label: str | None
    value: Any
    boxes: list[LabelledBox] | None
    comment: str | None
    by: str | None
    created_at: Instant


class GivenFeedback(Feedback):
    """The answer as it is stored."""

    known: bool | None = Field(
        description="Whether the version knows every class that is named; null where none is, or its classes are not "
        "known any more"
    )


class FeedbackList(Page[Feedback]):
    """A prediction's feedback, the answer that counts first."""


class RefusedLine(Answer):
    """A line that was not used."""

    line: int = Field(description="Its number in the CSV, from 1", examples=[3])
    prediction: str | None = Field(description="What the line names")
    detail: str = Field(description="Why", examples=["there is no such prediction"])


class FeedbackSummary(Answer):
    """What became of a CSV's lines."""

    created: int = Field(description="Answers that count now")
    unchanged: int = Field(description="Answers that counted already")
    empty: int = Field(description="Lines without an answer")
    refused: int = Field(description="Lines that were not used")
    errors: list[RefusedLine] = Field(description="The first 1,000 of them")
    unknown_labels: list[str] = Field(description="Classes that no version knows, the most frequent 20; they are taken")
