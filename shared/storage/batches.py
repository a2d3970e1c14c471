"""Batches (bulk uploads) in Postgres: their description, counters and completion, and their items' results.

A batch's row is inserted by the first item or by the batch's own record, whichever is recorded first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, or_, select, text

from shared.domain.batch import Batch, BatchStatus
from shared.domain.identifiers import BatchId, Digest, ModelName, Owner, PredictionId
from shared.domain.prediction import Status
from shared.domain.timestamps import microseconds
from shared.domain.webhooks import Webhook
from shared.storage.shown_columns import shown_column
from shared.storage.tables import batches, predictions

_INSERT_MISSING = text("""
    INSERT INTO batches (id, owner)
    SELECT id, owner FROM unnest(CAST(:ids AS uuid[]), CAST(:owners AS text[])) AS given (id, owner) ORDER BY id
    ON CONFLICT (id) DO NOTHING
""")
"""Inserts a row for each batch that has none, in the order of their ids."""

_LOCK = text("SELECT id FROM batches WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")
"""Locks the batches in the order of their ids: two recorders with the same batches can't deadlock."""

_DESCRIBE = text("""
    UPDATE batches SET
        model = :model, base_url = :base_url, skipped = :skipped, skipped_files = CAST(:skipped_files AS jsonb),
        metadata = CAST(:metadata AS jsonb), webhook = CAST(:webhook AS jsonb), retry_of = CAST(:retry_of AS uuid),
        total = coalesce(total, :total),
        created_at = timestamptz 'epoch' + :created * interval '1 microsecond',
        changed_at = greatest(changed_at, timestamptz 'epoch' + :completed * interval '1 microsecond'),
        canceled_at = coalesce(canceled_at, CASE WHEN :canceled THEN clock_timestamp() END)
    WHERE id = :id
""")
"""Writes what is known once the upload is read or canceled. `total` is never changed once it is set."""

_COMPLETE = text("""
    WITH completed AS (
        UPDATE batches SET completed_at = changed_at
        WHERE id = ANY(CAST(:ids AS uuid[])) AND completed_at IS NULL AND total = succeeded + failed + canceled
        RETURNING id, owner, webhook
    ), announced AS (
        INSERT INTO webhook_deliveries (owner, subject, kind, event, url, trace)
        SELECT owner, id, 'batch', 'completed', webhook->>'url', webhook->>'trace' FROM completed
        WHERE webhook->>'url' IS NOT NULL AND coalesce(webhook->'events' ? 'completed', true)
        ON CONFLICT (subject, event) DO NOTHING
    )
    SELECT id::text FROM completed
    UNION ALL
    SELECT id::text FROM batches WHERE id = ANY(CAST(:ids AS uuid[])) AND completed_at IS NOT NULL
""")
"""Completes batches whose last item is recorded and inserts their webhook deliveries, each at most once. Returns them
and those that were complete before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One row of `batches`. `model` and `total` are None until the upload is read; instants have their time zone.

    Rows of lists are without `skipped_files`: those of 1,000 batches may take 100 MB.
    """

    id: BatchId
    owner: Owner
    model: ModelName | None
    total: int | None
    succeeded: int
    failed: int
    canceled: int
    skipped: int
    skipped_files: Sequence[str] = ()
    metadata: dict[str, Any]
    base_url: str
    created_at: datetime
    canceled_at: datetime | None
    completed_at: datetime | None
    errors: dict[str, int]
    retry_of: BatchId | None

    @property
    def is_described(self) -> bool:
        """Whether the batch's own record is in, not only its items."""
        return self.model is not None and self.total is not None

    def batch(self) -> Batch:
        """Return the row as a Batch; only for a row that is described."""
        assert self.model is not None  # noqa: S101  the caller has checked is_described
        assert self.total is not None  # noqa: S101
        return Batch(
            id=self.id,
            owner=self.owner,
            model=self.model,
            status=self._status,
            total=self.total,
            succeeded=self.succeeded,
            failed=self.failed,
            canceled=self.canceled,
            skipped=self.skipped,
            skipped_files=self.skipped_files,
            metadata=self.metadata,
            created=microseconds(self.created_at),
            completed=microseconds(self.completed_at) if self.completed_at else None,
            errors=self.errors,
            retry_of=self.retry_of,
        )

    @property
    def _status(self) -> BatchStatus:
        if self.canceled_at is not None:
            return BatchStatus.CANCELED
        return BatchStatus.IN_PROGRESS if self.completed_at is None else BatchStatus.COMPLETED


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """One item's result. `output` is without a large mask; its members are in Postgres' order of jsonb."""

    id: PredictionId
    custom_id: str | None
    status: str
    version: str
    source: str
    output: Any
    error: str | None
    error_code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedItem:
    """One item that failed; `digest` is empty where it was no image that could be read."""

    id: PredictionId
    custom_id: str | None
    digest: Digest


_COLUMNS = [batches.c[column.name] for column in fields(BatchRow)]
_LISTED_COLUMNS = [column for column in _COLUMNS if column.name != "skipped_files"]
_ITEM_COLUMNS = [shown_column(column.name) for column in fields(ItemRow)]


def is_batch(record: Mapping[bytes, bytes]) -> bool:
    """Tell whether a record of the finished stream is a batch's own, not a prediction's."""
    return b"total" in record


def lock_batches(connection: Connection, owners: Mapping[BatchId, Owner]) -> None:
    """Lock the batches until the commit and insert missing ones. Must come before any other write to them."""
    ids = sorted(owners)
    connection.execute(_INSERT_MISSING, {"ids": ids, "owners": [owners[id] for id in ids]})
    connection.execute(_LOCK, {"ids": ids})


def describe_batch(connection: Connection, record: Mapping[bytes, bytes]) -> None:
    """Write a batch's own record. Safe twice, and before or after the batch's items."""
    request = orjson.loads(record[b"request"])
    facts = {
        "id": record[b"id"].decode(),
        "model": request["model"],
        "base_url": request["base_url"],
        "skipped": request["skipped"],
        "skipped_files": orjson.dumps(request["skipped_files"]).decode(),
        "metadata": orjson.dumps(request["metadata"]).decode(),
        "webhook": orjson.dumps(request["webhook"]).decode() if request["webhook"] else None,
        "retry_of": request.get("retry_of"),
        "total": int(record[b"total"]),
        "created": int(record[b"created"]),
        "completed": int(record[b"completed"]),
        "canceled": record[b"state"] == b"canceled",
    }
    connection.execute(_DESCRIBE, facts)


def complete_batches(connection: Connection, ids: Sequence[BatchId]) -> set[BatchId]:
    """Complete those of the batches whose items are all recorded, with their webhooks; return all complete ones.

    Must be called wherever a batch may become complete: after its items and after its total. Safe twice.
    """
    return {BatchId(id) for id in connection.execute(_COMPLETE, {"ids": list(ids)}).scalars()}


def find_batch(connection: Connection, id: BatchId, owner: Owner | None) -> BatchRow | None:
    """Return the owner's batch with this id, without an owner anybody's; None where there is none."""
    query = select(*_COLUMNS).where(batches.c.id == id)
    if owner is not None:
        query = query.where(batches.c.owner == owner)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else BatchRow(**row)


def list_batches(
    connection: Connection, owner: Owner, *, before: BatchId | None, limit: int, unended: Sequence[BatchId]
) -> list[BatchRow]:
    """Return up to `limit` of the owner's batches, the newest first; with `before`, those older than that id.

    Batches that are not described yet are returned only where their ids are in `unended`, the batches that Redis holds.
    """
    query = select(*_LISTED_COLUMNS).where(batches.c.owner == owner)
    query = query.where(or_(batches.c.model.is_not(None), batches.c.id.in_(unended)))
    if before is not None:
        query = query.where(batches.c.id < before)
    return [BatchRow(**row) for row in connection.execute(query.order_by(batches.c.id.desc()).limit(limit)).mappings()]


def first_output(connection: Connection, batch: BatchId) -> Any:
    """Return the output of a batch's first recorded item, in upload order, that has one; None where none has."""
    with_output = (predictions.c.batch_id == batch, predictions.c.output.is_not(None))
    return connection.scalar(select(shown_column("output")).where(*with_output).order_by(predictions.c.id).limit(1))


def list_items(connection: Connection, batch: BatchId, *, after: PredictionId | None, limit: int) -> list[ItemRow]:
    """Return up to `limit` of a batch's recorded items in upload order; with `after`, those that follow that id."""
    query = select(*_ITEM_COLUMNS).where(predictions.c.batch_id == batch)
    if after is not None:
        query = query.where(predictions.c.id > after)
    rows = connection.execute(query.order_by(predictions.c.id).limit(limit)).mappings()
    return [ItemRow(**row) for row in rows]


def list_failed(connection: Connection, batch: BatchId, *, after: PredictionId | None, limit: int) -> list[FailedItem]:
    """Return up to `limit` of a batch's failed items in upload order; with `after`, those that follow that id."""
    row = predictions.c
    query = select(row.id, row.custom_id, row.image_sha256).where(row.batch_id == batch, row.status == Status.FAILED)
    if after is not None:
        query = query.where(row.id > after)
    rows = connection.execute(query.order_by(row.id).limit(limit))
    return [FailedItem(id=PredictionId(id), custom_id=custom_id, digest=Digest(sha)) for id, custom_id, sha in rows]


def failed_variants(connection: Connection, batch: BatchId) -> tuple[list[str], Webhook | None, str | None]:
    """Return what chose the versions of a batch's failed items, each alias or number once, and the batch's webhook.

    Third is the span of its upload, None without a webhook: it is kept with that.
    """
    row = predictions.c
    query = select(row.variant).distinct().where(row.batch_id == batch, row.status == Status.FAILED)
    webhook = connection.scalar(select(batches.c.webhook).where(batches.c.id == batch))
    variants = list(connection.execute(query).scalars())
    return variants, None if webhook is None else Webhook.from_json(webhook), (webhook or {}).get("trace")


def custom_ids(
    connection: Connection, batch: BatchId, *, after: PredictionId | None, limit: int
) -> list[tuple[PredictionId, str]]:
    """Return the ids of up to `limit` recorded items with their custom_id, in upload order, after the id `after`."""
    row = predictions.c
    query = select(row.id, row.custom_id).where(row.batch_id == batch).order_by(row.id).limit(limit)
    if after is not None:
        query = query.where(row.id > after)
    return [(PredictionId(id), custom_id or "") for id, custom_id in connection.execute(query)]
