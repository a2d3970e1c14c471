"""The webhooks' outbox in Postgres: claim what is due, log attempts, look and ask again.

Rows of recorded events are written by `record` and `batches`, in the commits that make them true.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection, TextClause, func, select, text, update

from shared.domain.identifiers import DeliveryId, Owner, is_uuid
from shared.domain.webhooks import DeliveryStatus
from shared.storage.tables import webhook_attempts, webhook_deliveries

_CLAIM = """
    WITH RECURSIVE known AS ({known}), in_hand AS (
        SELECT * FROM unnest(
            CAST(:holding_owners AS text[]), CAST(:holding_destinations AS text[]), CAST(:holding AS integer[])
        ) AS held (owner, destination, count)
    ), due AS (
        SELECT found.id
        FROM known LEFT JOIN in_hand USING (owner, destination) CROSS JOIN LATERAL (
            SELECT one.id, one.next_attempt_at FROM webhook_deliveries AS one
            WHERE one.owner = known.owner AND one.destination = known.destination AND one.status = 'pending'
              AND one.next_attempt_at <= clock_timestamp()
            ORDER BY one.next_attempt_at
            LIMIT greatest(0, :each - coalesce(in_hand.count, 0))
            FOR UPDATE SKIP LOCKED
        ) AS found
        ORDER BY found.next_attempt_at
        LIMIT :limit
    )
    UPDATE webhook_deliveries AS claimed SET next_attempt_at = clock_timestamp() + CAST(:lease AS interval)
    FROM due WHERE claimed.id = due.id
    RETURNING claimed.id::text, claimed.owner, claimed.subject::text, claimed.kind, claimed.event, claimed.url,
              claimed.destination, claimed.attempts, claimed.body
"""
"""The oldest that are due of each receiver: a hundred thousand that wait for one hide nobody else's."""

_GIVEN = "unnest(CAST(:owners AS text[]), CAST(:destinations AS text[])) AS given (owner, destination)"

_CLAIM_OF = text(_CLAIM.format(known=f"SELECT owner, destination FROM {_GIVEN}"))  # noqa: S608  our own words

_CLAIM_OF_OTHERS = text(
    _CLAIM.format(
        known=f"""
            SELECT owner, destination FROM every WHERE owner IS NOT NULL AND NOT EXISTS (
                SELECT FROM {_GIVEN} WHERE given.owner = every.owner AND given.destination = every.destination
            )
        ), every AS (
            (
                SELECT owner, destination FROM webhook_deliveries
                WHERE status = 'pending' ORDER BY owner, destination LIMIT 1
            )
            UNION ALL
            SELECT following.owner, following.destination FROM every CROSS JOIN LATERAL (
                SELECT later.owner, later.destination FROM webhook_deliveries AS later
                WHERE later.status = 'pending' AND (later.owner, later.destination) > (every.owner, every.destination)
                ORDER BY later.owner, later.destination LIMIT 1
            ) AS following
        """  # noqa: S608  our own words
    )
)
"""Walks the index from one receiver to the next, past those left out, however much waits for them."""

_LOG = text("""
    WITH made AS (
        SELECT * FROM jsonb_to_recordset(CAST(:attempts AS jsonb)) AS made (
            id uuid, started_at timestamptz, duration_ms double precision, status integer, error text, response text,
            outcome text, pause double precision
        )
    ), logged AS (
        INSERT INTO webhook_attempts (delivery_id, started_at, duration_ms, status, error, response)
        SELECT made.id, made.started_at, made.duration_ms, made.status, made.error, made.response
        FROM made JOIN webhook_deliveries AS known ON known.id = made.id
        ON CONFLICT DO NOTHING
    )
    UPDATE webhook_deliveries AS known SET
        attempts = known.attempts + 1, status = made.outcome,
        next_attempt_at = clock_timestamp() + made.pause * interval '1 second',
        delivered_at = CASE WHEN made.outcome = 'delivered' THEN clock_timestamp() END
    FROM made WHERE known.id = made.id AND known.status = 'pending'
""")
"""Attempts and what they mean for their deliveries; one that has ended meanwhile stays as it is."""

_GIVE_BACK = text("""
    UPDATE webhook_deliveries SET next_attempt_at = clock_timestamp()
    WHERE id = ANY (CAST(:ids AS uuid[])) AND status = 'pending'
""")

_ADD_STARTS = text("""
    INSERT INTO webhook_deliveries (owner, subject, event, url, body)
    SELECT owner, subject, 'start', url, body
    FROM jsonb_to_recordset(CAST(:starts AS jsonb)) AS begun (owner text, subject uuid, url text, body jsonb)
    ON CONFLICT (subject, event) DO NOTHING
""")


class Receiver(NamedTuple):
    """Who is told where: deliveries of one owner to one scheme, host and port."""

    owner: Owner
    destination: str


_OVERDUE = text("""
    SELECT count(*) AS late, clock_timestamp() - min(next_attempt_at) AS oldest FROM (
        SELECT next_attempt_at FROM webhook_deliveries
        WHERE status = 'pending' AND next_attempt_at < clock_timestamp() - CAST(:by AS interval)
        LIMIT :most
    ) AS late
""")
MOST_OVERDUE: Final = 1000
"""Counted; people read it as "many"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery in hand. `attempts` were made before; `body` is None where it is the subject's row."""

    id: DeliveryId
    owner: Owner
    subject: str
    kind: str
    event: str
    url: str
    destination: str
    attempts: int
    body: Any

    @property
    def receiver(self) -> Receiver:
        """Return who is told where."""
        return Receiver(self.owner, self.destination)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt and what follows; `pause` until the next, where there is one."""

    id: DeliveryId
    started_at: datetime
    duration_ms: float
    status: int | None
    error: str | None
    response: str
    outcome: DeliveryStatus
    pause: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One attempt as it was logged."""

    started_at: datetime
    duration_ms: float
    status: int | None
    error: str | None
    response: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One row of the outbox, as its owner sees it; instants are aware."""

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
"""Attempts that are shown of one delivery; each may have 64 KB of a response."""

_COLUMNS = [webhook_deliveries.c[column.name] for column in fields(Delivery)]
_LOGGED = [webhook_attempts.c[column.name] for column in fields(Logged)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How much may be claimed: `each` is the most of one receiver, those `in_hand` included."""

    each: int
    in_hand: Mapping[Receiver, int]
    lease: timedelta


def claim_of(connection: Connection, receivers: Sequence[Receiver], *, limit: int, terms: Terms) -> list[Claimed]:
    """Commit a lease on up to `limit` deliveries to these receivers that are due, oldest first.

    Killed afterwards: they are due again when the lease ends. Two workers never claim the same.
    """
    return _claim(connection, _CLAIM_OF, receivers, limit=limit, terms=terms)


def claim_of_others(connection: Connection, besides: Sequence[Receiver], *, limit: int, terms: Terms) -> list[Claimed]:
    """Do the same for every receiver but these."""
    return _claim(connection, _CLAIM_OF_OTHERS, besides, limit=limit, terms=terms)


def _claim(
    connection: Connection, statement: TextClause, receivers: Sequence[Receiver], *, limit: int, terms: Terms
) -> list[Claimed]:
    arguments = {
        "owners": [one.owner for one in receivers],
        "destinations": [one.destination for one in receivers],
        "holding_owners": [one.owner for one in terms.in_hand],
        "holding_destinations": [one.destination for one in terms.in_hand],
        "holding": list(terms.in_hand.values()),
        "each": terms.each,
        "limit": limit,
        "lease": terms.lease,
    }
    with connection.begin():
        rows = connection.execute(statement, arguments).mappings().all()
    return [Claimed(**row) for row in rows]


def log_attempts(connection: Connection, attempts: Sequence[Attempt]) -> None:
    """Commit attempts that were made, and what follows from them; safe twice but for the count of attempts."""
    made = [
        {
            "id": one.id,
            "started_at": one.started_at,
            "duration_ms": one.duration_ms,
            "status": one.status,
            "error": one.error,
            "response": one.response or None,
            "outcome": one.outcome,
            "pause": one.pause.total_seconds(),
        }
        for one in attempts
    ]
    with connection.begin():
        connection.execute(_LOG, {"attempts": orjson.dumps(made).decode()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """Deliveries that nobody has tried though they were due: how many (MOST_OVERDUE at most) and since when."""

    count: int
    oldest: timedelta


def overdue(connection: Connection, *, by: timedelta) -> Overdue:
    """Return the deliveries that have been due for so long and that no worker has in hand."""
    row = connection.execute(_OVERDUE, {"by": by, "most": MOST_OVERDUE}).one()
    return Overdue(count=row.late, oldest=row.oldest or timedelta(0))


def give_back(connection: Connection, ids: Sequence[DeliveryId]) -> None:
    """Let go of deliveries that were claimed and not attempted; they are due at once."""
    with connection.begin():
        connection.execute(_GIVE_BACK, {"ids": list(ids)})


def add_starts(connection: Connection, starts: Sequence[Mapping[str, Any]]) -> None:
    """Commit `start` deliveries, each with owner, subject, url and body; safe twice."""
    with connection.begin():
        connection.execute(_ADD_STARTS, {"starts": orjson.dumps(list(starts)).decode()})


def fetch(connection: Connection, id: str, owner: Owner) -> tuple[Delivery, list[Logged]] | None:
    """Return an owner's delivery and its latest attempts, oldest first; None where there is none of that id."""
    if not is_uuid(id):
        return None
    query = select(*_COLUMNS).where(webhook_deliveries.c.id == id, webhook_deliveries.c.owner == owner)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    return Delivery(**row), _logged(connection, id)


def _logged(connection: Connection, id: str) -> list[Logged]:
    newest = webhook_attempts.c.started_at.desc()
    query = select(*_LOGGED).where(webhook_attempts.c.delivery_id == id).order_by(newest).limit(MOST_LOGGED)
    return [Logged(**one) for one in connection.execute(query).mappings()][::-1]


def page(
    connection: Connection,
    owner: Owner,
    *,
    before: str | None,
    limit: int,
    status: DeliveryStatus | None = None,
    subject: str | None = None,
) -> list[Delivery]:
    """Return an owner's deliveries, newest first: at most `limit`, all made before `before` if that is given."""
    query = select(*_COLUMNS).where(webhook_deliveries.c.owner == owner)
    if before is not None:
        query = query.where(webhook_deliveries.c.id < before)
    if status is not None:
        query = query.where(webhook_deliveries.c.status == status)
    if subject is not None:
        query = query.where(webhook_deliveries.c.subject == subject)
    rows = connection.execute(query.order_by(webhook_deliveries.c.id.desc()).limit(limit)).mappings()
    return [Delivery(**row) for row in rows]


def ask_again(connection: Connection, id: str, owner: Owner) -> tuple[Delivery, list[Logged]] | None:
    """Commit that a delivery is due now, with all its attempts before it again, and return it as `fetch` does."""
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
