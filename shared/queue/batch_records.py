"""A batch's hash in Redis, read; and the arguments of the scripts that cancel one."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from shared.domain.identifiers import BatchId, ModelName, Owner
from shared.queue import bells

# One call of cancel_lane holds Redis for about a millisecond.
CANCEL_ENTRIES: Final = 200
CANCEL_BYTES: Final = 1024 * 1024
FIELDS: Final = ("state", "owner", "request", "created", "total", "given_up")
"""What is read of a batch's hash."""
Mode = Literal["user", "broken", "silent"]
"""Why a batch is canceled: its owner wants it, its upload broke off, or its gateway gives no sign of life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A batch as Redis has it: `state` is validating, in_progress, canceled or ended; `created` is in microseconds."""

    id: BatchId
    owner: Owner
    state: str
    total: int
    created: int
    model: ModelName
    metadata: dict[str, Any]
    skipped: int
    skipped_files: list[str]
    retry_of: BatchId | None
    given_up: bool
    """Whether it was canceled because its gateway gave no sign of life."""


def parse(id: BatchId, reply: list[bytes | None]) -> BatchRecord | None:
    """Return the batch of HMGET's reply for FIELDS; None where the hash is missing."""
    state, owner, request, created, total, given_up = reply
    if state is None or owner is None or request is None or created is None:
        return None
    facts = orjson.loads(request)
    return BatchRecord(
        id=id,
        owner=Owner(owner.decode()),
        state=state.decode(),
        total=int(total or 0),
        created=int(created),
        model=ModelName(facts["model"]),
        metadata=facts["metadata"],
        skipped=facts["skipped"],
        skipped_files=facts["skipped_files"],
        retry_of=facts.get("retry_of"),
        given_up=given_up is not None,
    )


def cancel_arguments(id: BatchId, mode: Mode, *, lease: int = 0) -> tuple[str | int | bytes, ...]:
    """Return the arguments of cancel_batch; `lease` in microseconds counts for `silent` alone."""
    return (id, mode, lease, bells.record_message())


def cancel_lane_arguments(id: BatchId) -> tuple[str | int | bytes, ...]:
    """Return the arguments of cancel_lane."""
    return (id, bells.record_message(), CANCEL_ENTRIES, CANCEL_BYTES)
