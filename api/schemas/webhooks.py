"""Schemas of webhooks' secrets and deliveries."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Answer, Id, Instant, Page, Url
from shared.domain.webhooks import DeliveryStatus, Event


class WebhookSecret(Answer):
    """The secret that signs your webhooks."""

    key: str = Field(
        description="`whsec_` and 32 bytes in base64, as Standard Webhooks' libraries take it",
        pattern="^whsec_[A-Za-z0-9+/]{43}=$",
        examples=[f"whsec_{'A' * 43}="],
    )


class WebhookDeliveryUrls(Answer):
    """URLs of the delivery."""

    get: Url
    redeliver: Url


class WebhookDelivery(Answer):
    """The delivery of one event to its webhook."""

    id: Id = Field(description="Opaque; every attempt carries it as `webhook-id`")
    event: Event
    status: DeliveryStatus = Field(description="pending → delivered, or exhausted when there are no more attempts")
    url: str = Field(description="The webhook", examples=["https://example.com/hook"])
    subject: Id = Field(description="What is told of: the prediction's, the batch's or the feedback's id")
    subject_type: Literal["prediction", "batch", "feedback"]
    attempt_count: int = Field(description="Attempts since it was last asked for", examples=[1])
    next_attempt_at: Instant | None = Field(description="null unless pending")
    created_at: Instant
    delivered_at: Instant | None
    urls: WebhookDeliveryUrls


class WebhookAttempt(Answer):
    """One attempt to deliver."""

    started_at: Instant
    duration_ms: float = Field(description="0 where there was no HTTP answer", examples=[31.5])
    status: int | None = Field(description="The HTTP status, where there was an answer", examples=[503])
    error: str | None = Field(description="Why it was no success", examples=["answered 503"])
    response: str | None = Field(description="How the answer began, where it was no success")


class WebhookDeliveryDetail(WebhookDelivery):
    """The delivery of one event to its webhook, with every attempt."""

    attempts: list[WebhookAttempt] = Field(description="All that were ever made, oldest first")


class WebhookDeliveryList(Page[WebhookDelivery]):
    """Deliveries of webhooks, newest first."""
