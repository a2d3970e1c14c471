"""Schemas of submissions, which ask for predictions."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.bounds import LONGEST_TEXT, MOST_EVENTS
from shared.domain.model_reference import REFERENCE_PATTERN
from shared.domain.pipeline import (
    LARGEST_WEIGHT,
    LONGEST_CLASS,
    LONGEST_REFERENCE,
    MOST_CLASSES,
    MOST_MEMBERS,
    Combination,
    OnError,
)
from shared.domain.webhooks import LONGEST_URL

PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
"""The smallest PNG there is, in base64: an example that can be sent as it stands."""


MemberReference = Annotated[str, Field(min_length=1, max_length=LONGEST_REFERENCE, pattern=REFERENCE_PATTERN)]
Weight = Annotated[float, Field(gt=0, le=LARGEST_WEIGHT)]
ClassName = Annotated[str, Field(max_length=LONGEST_CLASS, pattern="^[^\\x00]*$")]


class SubmissionInput(BaseModel):
    """What to predict. Other members are ignored: never stored, logged or echoed."""

    image: str = Field(
        pattern="^([Dd][Aa][Tt][Aa]:|https?://)",
        description="A `data:` URL (base64 or percent-encoded), or the URL of a file uploaded to /v1/files, "
        "whatever its host. Never fetched.",
        examples=[f"data:image/png;base64,{PNG}"],
    )


class When(BaseModel):
    """When a chain's second step is asked; of a detector it is about each box."""

    model_config = ConfigDict(extra="forbid")

    class_: list[ClassName] | None = Field(
        default=None,
        alias="class",
        min_length=1,
        max_length=MOST_CLASSES,
        description="Any of these",
        examples=[["dog"]],
    )
    min_confidence: float | None = Field(default=None, ge=0, le=1, description="At least so much", examples=[0.5])


class Then(BaseModel):
    """A chain's second step."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "oneOf": [
                {"required": ["model"], "properties": {"model": {"type": "string"}}},
                {"required": ["models"], "properties": {"models": {"type": "array"}}},
            ]
        },
    )

    model: MemberReference | None = Field(default=None, description="A reference", examples=["breeds"])
    models: list[MemberReference] | None = Field(
        default=None, min_length=1, max_length=MOST_MEMBERS, description="Several, in place of `model`"
    )
    combine: Combination | None = Field(default=None, description="As for the first step")
    weights: list[Weight] | None = Field(default=None, max_length=MOST_MEMBERS, description="As for the first step")
    when: When | None = Field(default=None, description="Only where this is so; missing: always")
    crop: bool | None = Field(
        default=None, description="Of a detector: the crop of each box that counts goes on, not the picture"
    )


class Submission(BaseModel):
    """A prediction's parameters, the same in every body; unknown members are ignored."""

    model: str | None = Field(
        default=None,
        pattern=REFERENCE_PATTERN,
        max_length=LONGEST_TEXT,
        description="`[owner/]name`, `name@alias`, `name:version`, or MLflow's `models:/name/version`; a version is a "
        "number or `latest`, the newest one. May be left out where one model serves",
        examples=["digits"],
    )
    version: str | None = Field(
        default=None,
        pattern=REFERENCE_PATTERN,
        max_length=LONGEST_TEXT,
        description="As in `model`",
        examples=["digits:3"],
    )
    models: list[MemberReference] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_MEMBERS,
        description="In place of `model`: an ensemble, whose outputs are combined. In a form JSON, or with commas",
        examples=[["digits", "digits@challenger"]],
    )
    combine: Combination | None = Field(
        default=None,
        description="`mean` of the scores, `majority` of votes; `auto` is the mean where the classes match, else the "
        "majority",
        examples=["auto"],
    )
    weights: list[Weight] | None = Field(
        default=None, max_length=MOST_MEMBERS, description="One a model, above 0; equal ones where missing"
    )
    then: Then | None = Field(
        default=None, description="A second step, asked where its condition is met. In a form JSON"
    )
    on_error: OnError | None = Field(
        default=None,
        description="Where one model of several has no output: `fail`, or `degrade` to the others' answer",
        examples=["fail"],
    )
    priority: Literal["interactive", "bulk"] = "interactive"
    metadata: dict[str, Any] | None = Field(
        default=None, description="At most 4 KB; comes back unchanged", examples=[{"patient": 17}]
    )
    webhook: str | None = Field(
        default=None,
        max_length=LONGEST_URL,
        json_schema_extra={"format": "uri"},
        description="An https:// or http:// URL, told of events by a signed POST of the prediction",
        examples=["https://example.com/hook"],
    )
    webhook_events_filter: list[Literal["start", "completed", "logs", "output"]] | None = Field(
        default=None,
        max_length=MOST_EVENTS,
        description="Only these events; none are all. `logs` and `output` are taken, and never come",
        examples=[["completed"]],
    )


class JsonSubmission(Submission):
    """A submission as JSON."""

    input: SubmissionInput
