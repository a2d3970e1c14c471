"""Find and list batches: what was accepted from Redis, what was counted from Postgres.

The counters are the record's, so that a batch which says it is completed has every result there to read.
"""

import asyncio
from dataclasses import replace
from typing import Final

from api.gateway import Gateway
from api.postgres import ask_postgres
from shared.domain.batch import Batch, BatchStatus
from shared.domain.errors import UnknownBatch
from shared.domain.identifiers import BatchId, Owner
from shared.queue import batches as queue
from shared.queue import keys
from shared.queue.batches import Look
from shared.storage import batches as storage
from shared.storage.batches import BatchRow

# Looked through at most for one page.
MOST_UNENDED: Final = 1000
# What Redis says of a batch that has not ended there; the rest is the row's to say.
_STATES: Final = {status.value: status for status in BatchStatus if status is not BatchStatus.COMPLETED}


async def find(gate: Gateway, id: BatchId, *, owner: Owner | None) -> Batch:
    """Return an owner's batch, with none anybody's.

    Raises UnknownBatch, or StorageUnavailable where its counters can't be read.
    """
    # Redis first: what is recorded in between is then seen twice, not missed.
    look = queue.parse(id, await gate.redis.call(*queue.read_command(id)))
    row = await ask_postgres(gate, lambda connection: storage.fetch(connection, id, owner))
    batch = _batch(look if look and owner in (None, look.owner) else None, row)
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


def _batch(look: Look | None, row: BatchRow | None) -> Batch | None:
    """Put together what Redis and Postgres know; None where neither knows what it is.

    While Redis has a word of its own, that is the batch's state: it is what a cancellation decides by.
    """
    recorded = row.batch() if row and row.is_described else None
    if look is None:
        return recorded
    if recorded is None:
        return Batch(
            id=look.id,
            owner=look.owner,
            model=look.model,
            status=_STATES.get(look.state, BatchStatus.IN_PROGRESS),
            total=look.total,
            succeeded=row.succeeded if row else 0,
            failed=row.failed if row else 0,
            canceled=row.canceled if row else 0,
            skipped=look.skipped,
            metadata=look.metadata,
            created=look.created,
        )
    return replace(
        recorded,
        status=_STATES.get(look.state, recorded.status),
        completed=recorded.completed if look.state in ("ended", "canceled") else None,
    )
