"""Deleting what is past its time, or all that is one owner's: few rows a commit, so that nobody waits for a lock.

Ids are UUIDs version 7, so a table's oldest rows come first by its primary key. Each call is safe to repeat and to run
in two places: rows that another call has in hand are passed over, and nothing depends on a call being the last.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, TextClause, text

from shared.domain.identifiers import Owner, PredictionId, first_uuid7

_OLD_BATCHES = text("""
    DELETE FROM batches WHERE id IN (
        SELECT id FROM batches AS known
        WHERE id < :bound AND completed_at < :before AND NOT EXISTS (
            SELECT 1 FROM webhook_deliveries WHERE subject = known.id AND status = 'pending'
        )
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")
"""A batch goes before its items: its counts are never ahead of what can be read. It was made before it ended, so the
primary key bounds the search: looking through 300,000 young ones took 20 to 35 ms, every sweep."""

_OLD_PREDICTIONS = text("""
    WITH looked AS MATERIALIZED (
        SELECT id, batch_id FROM predictions WHERE id > :after AND id < :bound
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM predictions USING looked
        WHERE predictions.id = looked.id AND predictions.completed_at < :before
          AND NOT EXISTS (SELECT 1 FROM batches WHERE batches.id = looked.batch_id)
          AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE subject = looked.id AND status = 'pending')
        RETURNING predictions.id
    )
    SELECT (SELECT count(*) FROM gone), (SELECT max(id::text) FROM looked)
""")
"""Those of a batch that is still there stay, those whose end somebody has yet to be told, and those that waited for
so long that they have only just ended: Redis answers for them yet, and `audit` looks for their rows."""

_OLD_DELIVERIES = text("""
    DELETE FROM webhook_deliveries WHERE id IN (
        SELECT id FROM webhook_deliveries WHERE id < :bound AND status <> 'pending'
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")
"""Their attempts go with them."""

_RETIRED_SECRETS = text("""
    DELETE FROM webhook_secrets WHERE (owner, key) IN (
        SELECT owner, key FROM webhook_secrets
        WHERE retired_at <= clock_timestamp() - CAST(:overlap AS interval)
        ORDER BY owner, key LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")
"""By the clock that retired them, as those that sign are read: what goes here signs nothing any more."""


def _of_owner(table: str, key: str = "id") -> TextClause:
    return text(f"""
        DELETE FROM {table} WHERE {key} IN (
            SELECT {key} FROM {table} WHERE owner = :owner ORDER BY {key} LIMIT :limit
        ) AND owner = :owner
    """)  # noqa: S608  the names are our own


# Deliveries first, since they would be sent; batches before their items, as above.
_OF_OWNER: Final = {
    "webhook deliveries": _of_owner("webhook_deliveries"),
    "batches": _of_owner("batches"),
    "predictions": _of_owner("predictions"),
    "webhook secrets": _of_owner("webhook_secrets", "key"),
    "API keys": _of_owner("api_keys"),
}


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many rows went, and the last one that was looked at: the next call goes on there. None: it was the end."""

    rows: int
    last: PredictionId | None


def delete_batches(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete up to `limit` batches that were completed before then."""
    with connection.begin():
        arguments = {"before": before, "bound": _bound(before), "limit": limit}
        return connection.execute(_OLD_BATCHES, arguments).rowcount


def delete_predictions(connection: Connection, before: datetime, *, after: PredictionId | None, limit: int) -> Deleted:
    """Look at up to `limit` predictions made before then, from behind `after`, and delete those that may go."""
    arguments = {"after": after or first_uuid7(0), "bound": _bound(before), "before": before, "limit": limit}
    with connection.begin():
        rows, last = connection.execute(_OLD_PREDICTIONS, arguments).one()
    return Deleted(rows, PredictionId(last) if last else None)


def delete_deliveries(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete up to `limit` deliveries made before then that have come to an end, with their attempts."""
    with connection.begin():
        return connection.execute(_OLD_DELIVERIES, {"bound": _bound(before), "limit": limit}).rowcount


def delete_retired_secrets(connection: Connection, *, overlap: timedelta, limit: int) -> int:
    """Delete up to `limit` webhook secrets that were retired longer than `overlap` ago."""
    with connection.begin():
        return connection.execute(_RETIRED_SECRETS, {"overlap": overlap, "limit": limit}).rowcount


def delete_of_owner(connection: Connection, owner: Owner, what: str, *, limit: int) -> int:
    """Delete up to `limit` rows of an owner; `what` is one of OWNED."""
    with connection.begin():
        return connection.execute(_OF_OWNER[what], {"owner": owner, "limit": limit}).rowcount


OWNED: Final = tuple(_OF_OWNER)
"""All that owners have in Postgres, in the order that it is to be deleted in."""


def _bound(before: datetime) -> str:
    return first_uuid7(before.timestamp() * 1000)
