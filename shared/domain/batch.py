"""A batch (a client's bulk upload): its status and its counters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.domain.identifiers import BatchId, ModelName, Owner


class BatchStatus(StrEnum):
    """Status of a batch: validating → in_progress → completed; canceled from either of the first two."""

    VALIDATING = "validating"
    """The upload is still being read."""
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch. Times are microseconds since 1970; `total` grows while the batch is validating."""

    id: BatchId
    owner: Owner
    model: ModelName
    status: BatchStatus
    total: int
    succeeded: int
    failed: int
    canceled: int
    skipped: int
    skipped_files: Sequence[str] = ()
    """Names of skipped files, cut where they are many; left out of lists of batches."""
    metadata: dict[str, Any]
    created: int
    completed: int | None = None
    errors: Mapping[str, int] = field(default_factory=dict)
    """Numbers of failed items by error code."""
    retry_of: BatchId | None = None
    """The batch whose failed items these are."""
    counted: bool = True
    """Whether `succeeded`, `failed` and `canceled` are known; else they are 0."""

    @property
    def has_ended(self) -> bool:
        """Whether every item's result is recorded: nothing changes any more."""
        return self.completed is not None

    @property
    def ended(self) -> int:
        """How many items have ended."""
        return self.succeeded + self.failed + self.canceled

    def progress(self, now: int) -> tuple[float | None, float | None]:
        """Return items a second since the batch's creation, and in how many seconds all have ended at that pace.

        `now` is in microseconds. None where it can't be told: nothing has ended, or the upload is still being read.
        """
        elapsed = ((self.completed or now) - self.created) / 1e6
        if not self.counted or not self.ended or elapsed <= 0:
            return None, None
        rate = self.ended / elapsed
        if self.has_ended:
            return rate, 0.0
        is_open = self.status is BatchStatus.VALIDATING
        return rate, None if is_open else max(0, self.total - self.ended) / rate
