"""A batch (a client's bulk upload): its status and its counters."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    counted: bool = True
    """Whether `succeeded`, `failed` and `canceled` are known; else they are 0."""

    @property
    def has_ended(self) -> bool:
        """Whether every item's result is recorded: nothing changes any more."""
        return self.completed is not None
