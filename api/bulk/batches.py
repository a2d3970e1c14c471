"""Find and list batches, and make the object people get: what was accepted from Redis, what was counted from Postgres.

The counters are the record's, so that a batch which says it is completed has every result there to read.
"""

import asyncio
from typing import Any, Final

from api.answers import moment
from api.auth import StreamTokens
from api.gateway import Gateway
from api.postgres import ask_postgres, microseconds
from shared.domain.batch import Batch, BatchStatus
from shared.domain.errors import UnknownBatch
from shared.domain.identifiers import BatchId, Owner, is_uuid
from shared.queue import batches as queue
from shared.queue import keys
from shared.queue.batches import Look
from shared.storage import batches as storage
from shared.storage.batches import BatchRow

# Looked through at most for one page.
MOST_UNENDED: Final = 1000
# What Redis says of a batch that has not ended there; the rest is the row's to say.
_STATES: Final = {status.value: status for status in BatchStatus if status is not BatchStatus.COMPLETED}


async def find(gate: Gateway, id: str, *, owner: Owner) -> Batch:
    """Return an owner's batch; raises UnknownBatch, or StorageUnavailable where its counters can't be read."""
    if not is_uuid(id):
        raise UnknownBatch(id=id)
    key = BatchId(id)
    # Redis first: what is recorded in between is then seen twice, not missed.
    look = queue.parse(key, await gate.redis.call(*queue.read_command(key)))
    row = await ask_postgres(gate, lambda connection: storage.fetch(connection, key, owner))
    batch = _batch(look if look and look.owner == owner else None, row)
    if batch is None:
        raise UnknownBatch(id=id)
    return batch


async def page(gate: Gateway, *, owner: Owner, before: BatchId | None, limit: int) -> list[Batch]:
    """Return up to `limit` of an owner's batches, newest first; raises StorageUnavailable."""
    found = await gate.redis.call("ZREVRANGE", keys.batches(owner), 0, MOST_UNENDED - 1)
    ids = [BatchId(id.decode()) for id in found]
    ids = [id for id in ids if before is None or id < before]
    replies = await asyncio.gather(*(gate.redis.call(*queue.read_command(id)) for id in ids))
    looks = {id: look for id, reply in zip(ids, replies, strict=True) if (look := queue.parse(id, reply))}
    rows = await ask_postgres(
        gate, lambda connection: storage.page(connection, owner, before=before, limit=limit, unended=list(looks))
    )
    recorded = {row.id: row for row in rows}
    newest = sorted(looks.keys() | recorded.keys(), reverse=True)[:limit]
    every = (_batch(looks.get(id), recorded.get(id)) for id in newest)
    return [batch for batch in every if batch is not None]


def batch_object(batch: Batch, *, base_url: str, tokens: StreamTokens) -> dict[str, Any]:
    """Return the whole object of the HTTP contract."""
    url = f"{base_url}/v1/batches/{batch.id}"
    return {
        "id": batch.id,
        "status": batch.status,
        "model": batch.model,
        "request_counts": counts(batch),
        "skipped": batch.skipped,
        "created_at": moment(batch.created),
        "completed_at": moment(batch.completed),
        "metadata": batch.metadata,
        "urls": {
            "get": url,
            "results": f"{url}/results",
            "cancel": f"{url}/cancel",
            "stream": f"{url}/stream?token={tokens.sign(batch.id)}",
        },
    }


def counts(batch: Batch) -> dict[str, int]:
    """Return how many of its images are where."""
    return {
        "total": batch.total,
        "succeeded": batch.succeeded,
        "failed": batch.failed,
        "canceled": batch.canceled,
    }


def _batch(look: Look | None, row: BatchRow | None) -> Batch | None:
    """Put together what Redis and Postgres know; None where neither knows what it is.

    While Redis has a word of its own, that is the batch's state: it is what a cancellation decides by.
    """
    if look is None and (row is None or row.model is None):
        return None
    state = look.state if look else "ended"
    counted = (row.succeeded, row.failed, row.canceled) if row else (0, 0, 0)
    succeeded, failed, canceled = counted
    if row is None or row.model is None or row.total is None:
        assert look is not None  # noqa: S101  the first line
        return Batch(
            id=look.id,
            owner=look.owner,
            model=look.model,
            status=_STATES.get(look.state, BatchStatus.IN_PROGRESS),
            total=look.total,
            succeeded=succeeded,
            failed=failed,
            canceled=canceled,
            skipped=look.skipped,
            metadata=look.metadata,
            created=look.created,
        )
    ended = state in ("ended", "canceled") and row.completed_at is not None
    return Batch(
        id=row.id,
        owner=row.owner,
        model=row.model,
        status=_STATES.get(state) or _recorded_status(row),
        total=row.total,
        succeeded=succeeded,
        failed=failed,
        canceled=canceled,
        skipped=row.skipped,
        metadata=row.metadata,
        created=microseconds(row.created_at),
        completed=microseconds(row.completed_at) if ended and row.completed_at else None,
    )


def _recorded_status(row: BatchRow) -> BatchStatus:
    if row.canceled_at is not None:
        return BatchStatus.CANCELED
    return BatchStatus.IN_PROGRESS if row.completed_at is None else BatchStatus.COMPLETED
