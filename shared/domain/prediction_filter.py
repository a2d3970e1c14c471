"""Which predictions a list shows: one filter for those in Redis and those in Postgres."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from shared.domain.identifiers import PredictionId, first_uuid7, is_uuid
from shared.domain.job import Job
from shared.domain.prediction import ErrorCode, Status

LATEST_ID: Final = timedelta(seconds=10)
"""An id is made at most so long after the prediction's creation, by clocks that differ."""
EARLIEST_ID: Final = timedelta(hours=1)
"""An id is made at most so long before: an item of a batch has its id while it waits for room in the queue."""


@dataclass(frozen=True, slots=True)
class MetadataCondition:
    """A member of the metadata that must have a value: the text itself, or the number, true, false or null it writes.

    `?metadata=patient=42` finds both `{"patient": "42"}` and `{"patient": 42}`.
    """

    name: str
    text: str

    @property
    def values(self) -> list[Any]:
        """The JSON values that match: the text, and what it stands for where it is JSON's number or word."""
        try:
            value = json.loads(self.text, parse_int=_number, parse_float=_number, parse_constant=_no_number)
        except ValueError:
            return [self.text]
        return [self.text, value] if value is None or isinstance(value, int | float) else [self.text]

    def admits(self, metadata: dict[str, Any]) -> bool:
        """Tell whether metadata match. True is no 1 here, as in Postgres."""
        if self.name not in metadata:
            return False
        found = metadata[self.name]
        return any(found == value and isinstance(found, bool) == isinstance(value, bool) for value in self.values)


def _number(text: str) -> int | float:
    """Return a number as metadata have it: beyond 64 bits a float. Raises ValueError for one that is infinite."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(text)
    try:
        whole = int(text)
    except ValueError:
        return value
    return whole if -(2**63) <= whole < 2**64 else value


def _no_number(text: str) -> None:
    raise ValueError(text)  # NaN and Infinity are not JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionFilter:
    """Every condition must hold; None asks for nothing. Instants are microseconds since 1970.

    `max_confidence` admits predictions that have a confidence, and none above it; `min_confidence` none below it.
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
    min_confidence: float | None = None
    error_code: ErrorCode | None = None
    metadata: Sequence[MetadataCondition] = ()

    @property
    def finds_nothing(self) -> bool:
        """Whether no prediction can match: values that Postgres would refuse with an error."""
        texts = [self.model, self.version, self.variant]
        texts += [text for one in self.metadata for text in (one.name, one.text)]
        return (self.batch_id is not None and not is_uuid(self.batch_id)) or any("\0" in (text or "") for text in texts)

    @property
    def may_be_unfinished(self) -> bool:
        """Whether a prediction that has not ended can match."""
        ended = self.asks_confidence or self.error_code is not None
        return not ended and (self.status is None or not self.status.is_terminal)

    @property
    def asks_confidence(self) -> bool:
        """Whether a prediction's confidence must be read to tell whether it matches."""
        return self.max_confidence is not None or self.min_confidence is not None

    @property
    def ended_as(self) -> Status | None:
        """The status of every prediction that matches, where the filter says so: an error's code implies it."""
        if self.status is not None or self.error_code is None:
            return self.status
        return Status.CANCELED if self.error_code is ErrorCode.DEADLINE_EXCEEDED else Status.FAILED

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
            and (self.error_code is None or job.code == self.error_code)
            and (self.max_confidence is None or (confidence is not None and confidence <= self.max_confidence))
            and (self.min_confidence is None or (confidence is not None and confidence >= self.min_confidence))
            and all(one.admits(job.request.metadata) for one in self.metadata)
        )


def _first_id(instant: int, shift: timedelta) -> PredictionId:
    milliseconds = instant // 1000 + shift // timedelta(milliseconds=1)
    return PredictionId(first_uuid7(max(0, milliseconds)))
