"""Find and list batches: what was accepted is read from Redis, what was counted from Postgres.

The counters are the record's, so that a batch which says it is completed has every result there to read. While Postgres
is away a batch is still found, listed and canceled, as far as Redis knows it: then its counters are 0, and it says so.
"""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from api.state.gateway import Gateway
from api.state.postgres import BRIEFLY, ask_postgres
from api.state.postgres_pages import PIECE, read_rows
from shared.domain.batch import Batch, BatchStatus
from shared.domain.errors import StorageUnavailable, UnknownBatch
from shared.domain.identifiers import BatchId, Owner
from shared.queue.producer.batches import BatchRecord
from shared.storage import batches as storage
from shared.storage.batches import BatchRow

_GIVEN_UP: Final = "was given up, because the gateway that read it was held up for too long: send it again"
# What Redis says of a batch that has not ended there; the rest is the row's to say.
_STATES: Final = {status.value: status for status in BatchStatus if status is not BatchStatus.COMPLETED}


async def find_batch(gate: Gateway, id: BatchId, *, owner: Owner | None) -> Batch:
    """Return a batch of `owner`, or of anybody where that is None.

    It is not `counted` while Postgres is away and Redis knows the rest.

    Raises UnknownBatch, or StorageUnavailable where neither store can tell.
    """
    # Redis is read first: a batch recorded in between is then seen twice, not missed.
    record = await gate.producer.batches.find(id)
    mine = record if record and owner in (None, record.owner) else None
    # Of a batch that has ended Redis knows nothing else.
    known = mine if mine and mine.state in _STATES else None
    try:
        row = await ask_postgres(
            gate, lambda connection: storage.find_batch(connection, id, owner), longest=BRIEFLY if known else None
        )
    except StorageUnavailable:
        if known is None:
            raise
        return _of_redis(known)
    batch = _batch(mine, row)
    if batch is None:
        raise UnknownBatch(id=id)
    return batch


async def canceled_meanwhile(gate: Gateway, id: BatchId) -> BatchId:
    """Return the id of a batch that was canceled while this gateway wrote it.

    Raises StorageUnavailable where a sweep has given it up, because this gateway was held up for longer than its signs
    of life last: its client wants the images computed, and may send them again, under the same key too.
    """
    record = await gate.producer.batches.find(id)
    if record is None or record.given_up:
        raise StorageUnavailable(store="this upload", reason=_GIVEN_UP, retry_after=timedelta(seconds=1))
    return id


async def list_batches(gate: Gateway, *, owner: Owner, before: BatchId | None, limit: int) -> tuple[list[Batch], bool]:
    """Return up to `limit` of an owner's batches, newest first, and whether those are all.

    While Postgres is away they are those that Redis knows, not counted; raises StorageUnavailable where it knows none.
    """
    records = await _unended(gate, owner, before=before, limit=limit)
    known = {id: record for id, record in records.items() if record.state in _STATES}
    ask = partial(storage.list_batches, owner=owner, unended=list(records))
    try:
        longest = BRIEFLY if known else None
        rows = await read_rows(gate, owner, ask, before=before, limit=limit, longest=longest)
    except StorageUnavailable:
        if not known:
            raise
        return [_of_redis(known[id]) for id in sorted(known, reverse=True)[:limit]], False
    recorded = {row.id: row for row in rows}
    newest = sorted(records.keys() | recorded.keys(), reverse=True)[:limit]
    every = (_batch(records.get(id), recorded.get(id)) for id in newest)
    return [batch for batch in every if batch is not None], True


def _of_redis(record: BatchRecord) -> Batch:
    """Return what Redis alone knows of a batch that has not ended there."""
    batch = _batch(record, None)
    assert batch is not None  # noqa: S101  there is a record
    return replace(batch, counted=False)


async def _unended(gate: Gateway, owner: Owner, *, before: BatchId | None, limit: int) -> dict[BatchId, BatchRecord]:
    """Return the newest `limit` of an owner's batches that have not ended, before `before` if that is given."""
    ids = [id for id in await gate.producer.batches.unended(owner) if before is None or id < before]
    records: dict[BatchId, BatchRecord] = {}
    for first in range(0, len(ids), PIECE):
        some = ids[first : first + PIECE]
        records |= {record.id: record for record in await gate.producer.batches.find_all(some)}
        if len(records) >= limit:
            break
    return records


def _batch(record: BatchRecord | None, row: BatchRow | None) -> Batch | None:
    """Combine what Redis and Postgres know of a batch; None where neither knows it.

    While Redis has a word of its own, that is the batch's state: it is what a cancellation decides by.
    """
    recorded = row.batch() if row and row.is_described else None
    if record is None:
        return recorded
    if recorded is None:
        return Batch(
            id=record.id,
            owner=record.owner,
            model=record.model,
            status=_STATES.get(record.state, BatchStatus.IN_PROGRESS),
            total=record.total,
            succeeded=row.succeeded if row else 0,
            failed=row.failed if row else 0,
            canceled=row.canceled if row else 0,
            skipped=record.skipped,
            skipped_files=record.skipped_files,
            metadata=record.metadata,
            created=record.created,
            errors=row.errors if row else {},
            retry_of=record.retry_of,
        )
    return replace(
        recorded,
        status=_STATES.get(record.state, recorded.status),
        completed=recorded.completed if record.state in ("ended", "canceled") else None,
    )
