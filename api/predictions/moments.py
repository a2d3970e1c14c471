"""The life of a prediction: every moment of it that is known, in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.domain.feedback import Feedback
from shared.domain.job import Job
from shared.domain.prediction import Source, Status
from shared.domain.timestamps import microseconds, rfc3339
from shared.storage.deliveries import Delivery, Logged
from shared.storage.shadow_predictions import ShadowPrediction


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment: what happened, when (microseconds since 1970), and a few words about it."""

    event: str
    at: int
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the object of the HTTP API."""
        return {"event": self.event, "at": rfc3339(self.at), "detail": self.detail or None}


def life_of(
    job: Job,
    *,
    recorded: datetime | None,
    shadows: Sequence[ShadowPrediction],
    feedback: Sequence[Feedback],
    deliveries: Sequence[tuple[Delivery, Sequence[Logged]]],
) -> list[Moment]:
    """Return what is known of a prediction's life, the earliest first.

    Of several attempts only the first one's beginning is kept; how many there were is said where it ended.
    """
    moments = [*_own(job)]
    if recorded is not None:
        moments.append(Moment("recorded", microseconds(recorded), "in Postgres"))
    moments += [Moment("shadowed", microseconds(one.created_at), _shadow_words(one)) for one in shadows]
    moments += [Moment("feedback", microseconds(one.created_at), _feedback_words(one)) for one in feedback]
    for delivery, attempts in deliveries:
        moments.append(Moment("webhook_due", microseconds(delivery.created_at), delivery.event))
        moments += [
            Moment("webhook_attempt", microseconds(one.started_at), _attempt_words(delivery, one)) for one in attempts
        ]
    return sorted(moments, key=lambda moment: moment.at)


def _own(job: Job) -> list[Moment]:
    """Return what the queue knows of it. Creating it and putting it into the queue is one step."""
    retry = f"repeats {job.request.retry_of}" if job.request.retry_of else ""
    moments = [Moment("created", job.created, retry)]
    if job.source is not Source.CACHE and job.request.image.sha256 is not None:
        moments.append(Moment("queued", job.created, f"for {job.request.model} version {job.request.version}"))
    if job.started is not None:
        moments.append(Moment("started", job.started, f"by {job.worker}" if job.worker else ""))
    if job.completed is not None:
        moments.append(Moment("completed", job.completed, _end_words(job)))
    return moments


def _end_words(job: Job) -> str:
    words = [str(job.status)]
    if job.code:
        words.append(job.code)
    if job.status is Status.SUCCEEDED and job.source is not Source.MODEL:
        words.append("from the cache" if job.source is Source.CACHE else "with another prediction of the same picture")
    if job.attempts > 1:
        words.append(f"{job.attempts} attempts")
    return ", ".join(words)


def _shadow_words(one: ShadowPrediction) -> str:
    agrees = {True: ", agrees", False: ", disagrees", None: ""}[one.agrees]
    return f"version {one.version} {one.status}{agrees}"


def _feedback_words(one: Feedback) -> str:
    by = f" by {one.by}" if one.by else ""
    return f"{one.label}{by}" if one.label is not None else by.strip()


def _attempt_words(delivery: Delivery, one: Logged) -> str:
    return f"{delivery.event}: {one.error or f'answered {one.status}'}"
