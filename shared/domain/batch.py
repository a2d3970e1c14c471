"""A bulk upload: its state in words, and what is counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.domain.identifiers import BatchId, ModelName, Owner


class BatchStatus(StrEnum):
    """Where a batch stands: validating → in_progress → completed, or canceled."""

    VALIDATING = "validating"
    """Its upload is still being read."""
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One bulk upload. Times are microseconds since 1970; `total` grows while it is validating."""

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
    """Names of what was skipped, not of all where it is much; none in a list."""
    metadata: dict[str, Any]
    created: int
    completed: int | None = None
    counted: bool = True
    """Whether it is known how many have ended, and how; else those are 0."""

    @property
    def has_ended(self) -> bool:
        """Whether every item has its result recorded, so that nothing will change any more."""
        return self.completed is not None
