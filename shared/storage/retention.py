"""Deletes rows past their retention, or all rows of one owner: few a commit, so that nobody waits long for a lock.

Ids are UUIDs version 7, so a primary key has a table's oldest rows first. Each call may be repeated and may run in
several processes at once: rows that another call has locked are skipped.
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
"""Deletes old batches, before their items, so that a batch never counts items that can't be read. A batch is made
before it ends, so the primary key bounds the search: reading 300,000 younger ones took 20 to 35 ms in every sweep."""

_OLD_PREDICTIONS = text("""
    WITH candidates AS MATERIALIZED (
        SELECT id, batch_id FROM predictions WHERE id > :after AND id < :bound
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    ), deleted AS (
        DELETE FROM predictions USING candidates
        WHERE predictions.id = candidates.id AND predictions.completed_at < :before
          AND NOT EXISTS (SELECT 1 FROM batches WHERE batches.id = candidates.batch_id)
          AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE subject = candidates.id AND status = 'pending')
        RETURNING predictions.id
    )
    SELECT (SELECT count(*) FROM deleted), (SELECT max(id::text) FROM candidates)
""")
"""Deletes old predictions; a trigger deletes their feedback in the same commit. Items of a batch that is there stay; so
do predictions with a pending delivery, and those that are old but ended lately: Redis still answers for them, and
`audit` looks for their rows."""

_ORPHANED_FEEDBACK = text("""
    DELETE FROM feedback WHERE id IN (
        SELECT id FROM feedback AS known
        WHERE prediction_id < :bound AND NOT EXISTS (SELECT 1 FROM predictions WHERE id = known.prediction_id)
        ORDER BY prediction_id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")
"""Deletes feedback on old predictions that were never recorded. There is little on predictions that are this old, so
the search is short."""

_OLD_DELIVERIES = text("""
    DELETE FROM webhook_deliveries WHERE id IN (
        SELECT id FROM webhook_deliveries WHERE id < :bound AND status <> 'pending'
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")
"""Deletes old deliveries that are not pending; their attempts are deleted with them."""

_RETIRED_SECRETS = text("""
    DELETE FROM webhook_secrets WHERE (owner, key) IN (
        SELECT owner, key FROM webhook_secrets
        WHERE retired_at <= clock_timestamp() - CAST(:overlap AS interval)
        ORDER BY owner, key LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")
"""Deletes secrets that no longer sign, by the same clock and condition by which signing ones are read."""


def _of_owner(table: str, key: str = "id") -> TextClause:
    """Return the statement that deletes some of an owner's rows of a table, in the order of their keys."""
    return text(f"""
        DELETE FROM {table} WHERE {key} IN (
            SELECT {key} FROM {table} WHERE owner = :owner ORDER BY {key} LIMIT :limit
        ) AND owner = :owner
    """)  # noqa: S608  the names are our own


# Deliveries first, since they would still be sent; batches before their items, as above. Feedback after predictions,
# since it is given only for those that are there.
_OF_OWNER: Final = {
    "webhook deliveries": _of_owner("webhook_deliveries"),
    "batches": _of_owner("batches"),
    "predictions": _of_owner("predictions"),
    "feedback": _of_owner("feedback"),
    "webhook secrets": _of_owner("webhook_secrets", "key"),
    "API keys": _of_owner("api_keys"),
}


@dataclass(frozen=True, slots=True)
class Deleted:
    """Number of deleted rows, and the last id that was read, after which the next call resumes; None at the end."""

    rows: int
    last: PredictionId | None


def delete_batches(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete up to `limit` batches that completed before `before`; return how many."""
    with connection.begin():
        arguments = {"before": before, "bound": _bound(before), "limit": limit}
        return connection.execute(_OLD_BATCHES, arguments).rowcount


def delete_predictions(connection: Connection, before: datetime, *, after: PredictionId | None, limit: int) -> Deleted:
    """Read up to `limit` predictions made before `before`, resuming after the id `after`; delete those that may be."""
    arguments = {"after": after or first_uuid7(0), "bound": _bound(before), "before": before, "limit": limit}
    with connection.begin():
        rows, last = connection.execute(_OLD_PREDICTIONS, arguments).one()
    return Deleted(rows, PredictionId(last) if last else None)


def delete_orphaned_feedback(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete up to `limit` rows of feedback on predictions made before `before` that have no row; return how many."""
    with connection.begin():
        return connection.execute(_ORPHANED_FEEDBACK, {"bound": _bound(before), "limit": limit}).rowcount


def delete_deliveries(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete up to `limit` deliveries made before `before` that have ended, with their attempts; return how many."""
    with connection.begin():
        return connection.execute(_OLD_DELIVERIES, {"bound": _bound(before), "limit": limit}).rowcount


def delete_retired_secrets(connection: Connection, *, overlap: timedelta, limit: int) -> int:
    """Delete up to `limit` webhook secrets that were retired longer than `overlap` ago; return how many."""
    with connection.begin():
        return connection.execute(_RETIRED_SECRETS, {"overlap": overlap, "limit": limit}).rowcount


def delete_of_owner(connection: Connection, owner: Owner, what: str, *, limit: int) -> int:
    """Delete up to `limit` rows of an owner; `what` is one of OWNED. Return how many."""
    with connection.begin():
        return connection.execute(_OF_OWNER[what], {"owner": owner, "limit": limit}).rowcount


OWNED: Final = tuple(_OF_OWNER)
"""Everything that an owner has in Postgres, in the order in which it must be deleted."""


def _bound(before: datetime) -> str:
    return first_uuid7(before.timestamp() * 1000)
