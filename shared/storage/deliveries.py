"""The webhooks' outbox as owners and operators see it: deliveries with their attempts, retries, what is overdue.

Deliveries of `completed` events are inserted by `recording` and `batches`, in the commits that make the events true.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import Connection, func, select, text, update

from shared.domain.identifiers import DeliveryId, Owner, is_uuid
from shared.domain.webhooks import DeliveryStatus
from shared.storage.tables import webhook_attempts, webhook_deliveries

_ADD_STARTS = text("""
    INSERT INTO webhook_deliveries (owner, subject, event, url, body, trace)
    SELECT owner, subject, 'start', url, body, trace
    FROM jsonb_to_recordset(CAST(:starts AS jsonb)) AS begun (
        owner text, subject uuid, url text, body jsonb, trace text
    )
    ON CONFLICT (subject, event) DO NOTHING
""")
"""Inserts deliveries of `start` events; a repeated one changes nothing."""

_OVERDUE = text("""
    SELECT count(*) AS late, clock_timestamp() - min(next_attempt_at) AS oldest FROM (
        SELECT next_attempt_at FROM webhook_deliveries
        WHERE status = 'pending' AND next_attempt_at < clock_timestamp() - CAST(:by AS interval)
        LIMIT :most
    ) AS late
""")
"""Counts deliveries that have been due for longer than `by`, and returns the age of the oldest."""

MOST_OVERDUE: Final = 1000
"""Overdue deliveries are counted up to this number; people read it as "many"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One logged attempt."""

    started_at: datetime
    duration_ms: float
    status: int | None
    error: str | None
    response: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery as its owner sees it; instants have their time zone."""

    id: DeliveryId
    owner: Owner
    subject: str
    kind: str
    event: str
    url: str
    status: str
    attempts: int
    next_attempt_at: datetime
    created_at: datetime
    delivered_at: datetime | None


MOST_LOGGED: Final = 50
"""Attempts that are returned of one delivery at most; each may have 64 KB of a response."""

_COLUMNS = [webhook_deliveries.c[column.name] for column in fields(Delivery)]
_LOGGED_COLUMNS = [webhook_attempts.c[column.name] for column in fields(Logged)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """Deliveries that are due and that no worker has claimed: how many, up to MOST_OVERDUE, and the oldest's age."""

    count: int
    oldest: timedelta


def overdue(connection: Connection, *, by: timedelta) -> Overdue:
    """Return how many deliveries have been due for longer than `by` and are claimed by no worker."""
    row = connection.execute(_OVERDUE, {"by": by, "most": MOST_OVERDUE}).one()
    return Overdue(count=row.late, oldest=row.oldest or timedelta(0))


def add_starts(connection: Connection, starts: Sequence[Mapping[str, Any]]) -> None:
    """Commit deliveries of `start` events, each with owner, subject, url, body and trace. Safe twice."""
    with connection.begin():
        connection.execute(_ADD_STARTS, {"starts": orjson.dumps(list(starts)).decode()})


def find_delivery(connection: Connection, id: str, owner: Owner) -> tuple[Delivery, list[Logged]] | None:
    """Return an owner's delivery and its latest attempts, the oldest first; None where they have none of that id."""
    if not is_uuid(id):
        return None
    query = select(*_COLUMNS).where(webhook_deliveries.c.id == id, webhook_deliveries.c.owner == owner)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    return Delivery(**row), _logged(connection, id)


def deliveries_of(connection: Connection, subject: str, owner: Owner) -> list[tuple[Delivery, list[Logged]]]:
    """Return an owner's deliveries of one prediction's or batch's events with their attempts, the oldest first.

    There is one for each event, so few.
    """
    mine = (webhook_deliveries.c.subject == subject, webhook_deliveries.c.owner == owner)
    rows = connection.execute(select(*_COLUMNS).where(*mine).order_by(webhook_deliveries.c.id)).mappings().all()
    return [(Delivery(**row), _logged(connection, row["id"])) for row in rows]


def _logged(connection: Connection, id: str) -> list[Logged]:
    newest = webhook_attempts.c.started_at.desc()
    query = select(*_LOGGED_COLUMNS).where(webhook_attempts.c.delivery_id == id).order_by(newest).limit(MOST_LOGGED)
    return [Logged(**one) for one in connection.execute(query).mappings()][::-1]


def list_deliveries(
    connection: Connection,
    owner: Owner,
    *,
    before: str | None,
    limit: int,
    status: DeliveryStatus | None = None,
    subject: str | None = None,
) -> list[Delivery]:
    """Return up to `limit` of an owner's deliveries, the newest first; with `before`, those older than that id."""
    query = select(*_COLUMNS).where(webhook_deliveries.c.owner == owner)
    if before is not None:
        query = query.where(webhook_deliveries.c.id < before)
    if status is not None:
        query = query.where(webhook_deliveries.c.status == status)
    if subject is not None:
        query = query.where(webhook_deliveries.c.subject == subject)
    rows = connection.execute(query.order_by(webhook_deliveries.c.id.desc()).limit(limit)).mappings()
    return [Delivery(**row) for row in rows]


def retry_delivery(connection: Connection, id: str, owner: Owner) -> tuple[Delivery, list[Logged]] | None:
    """Commit that a delivery is due now with all its attempts left again; return it as `find_delivery` does."""
    if not is_uuid(id):
        return None
    due = {
        "status": DeliveryStatus.PENDING,
        "attempts": 0,
        "delivered_at": None,
        "next_attempt_at": func.clock_timestamp(),
    }
    mine = (webhook_deliveries.c.id == id, webhook_deliveries.c.owner == owner)
    change = update(webhook_deliveries).where(*mine).values(due).returning(*_COLUMNS)
    with connection.begin():
        row = connection.execute(change).mappings().one_or_none()
        return None if row is None else (Delivery(**row), _logged(connection, id))
