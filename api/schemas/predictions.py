"""Schemas of predictions in answers."""

from typing import Any, Literal

from pydantic import Field

from api.schemas.base import Answer, Id, Instant, Page, Sha256, Url
from api.schemas.feedback import Feedback
from api.schemas.outputs import Output
from api.schemas.webhooks import WebhookDeliveryDetail
from shared.domain.prediction import ErrorCode, Source, Status


class Image(Answer):
    """The image as received."""

    sha256: Sha256 | None = Field(description="null, as the next three, only in a bulk upload's item that is no image")
    format: str | None = Field(description="By content, not by name", examples=["PNG"])
    width: int | None = Field(description="Pixels, as stored", examples=[32])
    height: int | None = Field(examples=[32])
    bytes: int = Field(examples=[1480])
    filename: str | None = Field(examples=["7.png"])


class PredictionInput(Answer):
    """The submission."""

    image: Image


class Metrics(Answer):
    """Durations in seconds; empty until the prediction has ended."""

    queue_time: float | None = Field(default=None, description="Until a worker took it")
    predict_time: float | None = Field(default=None, description="Of the forward pass of its batch")
    total_time: float | None = Field(default=None, description="From creation to the end")
    batch_size: int | None = Field(default=None, description="How many images shared the forward pass")


class PredictionUrls(Answer):
    """URLs of the prediction; `stream` carries its own short-lived token."""

    get: Url
    cancel: Url
    retry: Url
    stream: Url
    web: Url


class ShadowPrediction(Answer):
    """What a shadow answered to the image, after the prediction had ended."""

    version: str = Field(examples=["4"])
    status: Status
    output: Output | None
    error: str | None
    error_code: ErrorCode | None
    agrees: bool | None = Field(description="Whether it agrees with the prediction; null where that has no meaning")
    predict_time: float | None = Field(description="Seconds")
    created_at: Instant


class PredictionEvent(Answer):
    """One moment of a prediction's life."""

    event: Literal[
        "created",
        "queued",
        "started",
        "completed",
        "recorded",
        "shadowed",
        "feedback",
        "webhook_due",
        "webhook_attempt",
    ]
    at: Instant
    detail: str | None = Field(description="A few words for people", examples=["succeeded"])


class Prediction(Answer):
    """The prediction of one image."""

    id: Id
    model: str = Field(examples=["digits"])
    version: str = Field(examples=["3"])
    variant: str = Field(
        description="The alias that chose the version, its number where a client named that, or `pipeline`",
        examples=["champion"],
    )
    status: Status = Field(description="starting → processing → succeeded, failed or canceled")
    input: PredictionInput
    output: Output | None = Field(description="Its form depends on the model's task; null unless it succeeded")
    error: str | None = Field(description="Words, where it failed")
    error_code: ErrorCode | None
    logs: str = Field(examples=[""])
    source: Source = Field(description="Who produced the output")
    attempts: int = Field(examples=[1])
    batch_id: str | None
    retry_of: str | None = Field(description="The prediction that this one repeats")
    metadata: dict[str, Any] = Field(description="As submitted")
    data_removed: bool
    metrics: Metrics
    created_at: Instant
    started_at: Instant | None
    completed_at: Instant | None
    urls: PredictionUrls
    shadow: list[ShadowPrediction] | None = Field(default=None, description="Only with `include=shadow`")
    feedback: list[Feedback] | None = Field(
        default=None, description="Only with `include=feedback`: the newest 100, the one that counts first"
    )
    deliveries: list[WebhookDeliveryDetail] | None = Field(
        default=None, description="Only with `include=deliveries`: its webhook's, the oldest first"
    )
    events: list[PredictionEvent] | None = Field(
        default=None,
        description="Only with `include=events`: every moment of its life that is known, in order. Of several attempts "
        "only the first one's beginning is kept",
    )
    request_id: str | None = Field(
        default=None,
        description="Only with `include=events`: of the HTTP request that brought it, as log lines have it",
    )


class PredictionList(Page[Prediction]):
    """Predictions, newest first."""
