"""Which predictions a list shows: one filter for those in Redis and those in Postgres."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.domain.identifiers import PredictionId, first_uuid7, is_uuid
from shared.domain.job import Job
from shared.domain.prediction import Status

LATEST_ID: Final = timedelta(seconds=10)
"""An id is made at most so long after the prediction's creation, by clocks that differ."""
EARLIEST_ID: Final = timedelta(hours=1)
"""An id is made at most so long before: an item of a batch has its id while it waits for room in the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionFilter:
    """Every condition must hold; None asks for nothing. Instants are microseconds since 1970.

    `max_confidence` admits predictions that have a confidence, and none above it.
    """

    model: str | None = None
    version: str | None = None
    variant: str | None = None
    status: Status | None = None
    batch_id: str | None = None
    created_after: int | None = None
    """Created then or later."""
    created_before: int | None = None
    """Created before then."""
    max_confidence: float | None = None

    @property
    def finds_nothing(self) -> bool:
        """Whether no prediction can match: values that Postgres would refuse with an error."""
        texts = (self.model, self.version, self.variant)
        return (self.batch_id is not None and not is_uuid(self.batch_id)) or any("\0" in (text or "") for text in texts)

    @property
    def may_be_unfinished(self) -> bool:
        """Whether a prediction that has not ended can match."""
        return self.max_confidence is None and (self.status is None or not self.status.is_terminal)

    @property
    def lowest_id(self) -> PredictionId | None:
        """No prediction with a smaller id matches, by its time of creation."""
        return None if self.created_after is None else _first_id(self.created_after, -EARLIEST_ID)

    def highest_id(self, before: PredictionId | None) -> PredictionId | None:
        """Return the smaller of `before` and the id from which on none matches by its time of creation."""
        latest = None if self.created_before is None else _first_id(self.created_before, LATEST_ID)
        return min((id for id in (before, latest) if id is not None), default=None)

    def admits(self, job: Job, *, confidence: float | None) -> bool:
        """Tell whether a job matches. Its output may be JSON's text, so its `confidence` is the caller's to read."""
        return (
            (self.model is None or job.request.model == self.model)
            and (self.version is None or job.request.version == self.version)
            and (self.variant is None or job.request.variant == self.variant)
            and (self.status is None or job.status == self.status)
            and (self.batch_id is None or job.batch == self.batch_id)
            and (self.created_after is None or job.created >= self.created_after)
            and (self.created_before is None or job.created < self.created_before)
            and (self.max_confidence is None or (confidence is not None and confidence <= self.max_confidence))
        )


def _first_id(instant: int, shift: timedelta) -> PredictionId:
    milliseconds = instant // 1000 + shift // timedelta(milliseconds=1)
    return PredictionId(first_uuid7(max(0, milliseconds)))
