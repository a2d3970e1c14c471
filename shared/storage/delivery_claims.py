"""The webhooks' outbox as a worker uses it: claim deliveries that are due, log attempts, give claims back.

A claim is a lease: it moves `next_attempt_at` into the future, so a killed worker's deliveries become due again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, TextClause, text

from shared.domain.identifiers import DeliveryId, Owner
from shared.domain.webhooks import DeliveryStatus

_CLAIM_TEMPLATE = """
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
              claimed.destination, claimed.attempts, claimed.body, claimed.trace
"""
"""Claims the oldest due deliveries of each receiver in `known`: one with 100,000 due does not hide another's."""

_GIVEN = "unnest(CAST(:owners AS text[]), CAST(:destinations AS text[])) AS given (owner, destination)"
"""The receivers that a statement is given."""

_CLAIM_FOR = text(_CLAIM_TEMPLATE.format(known=f"SELECT owner, destination FROM {_GIVEN}"))  # noqa: S608  no input of others
"""Claims for the given receivers."""

_CLAIM_FOR_OTHERS = text(
    _CLAIM_TEMPLATE.format(
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
        """  # noqa: S608  no input of others
    )
)
"""Claims for every receiver but the given ones. Steps through the index from one receiver to the next, so the number
of deliveries that wait for a receiver does not matter."""

_LOG_ATTEMPTS = text("""
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
"""Inserts attempts and updates their deliveries; a delivery that has ended meanwhile stays as it is."""

_GIVE_BACK = text("""
    UPDATE webhook_deliveries SET next_attempt_at = clock_timestamp()
    WHERE id = ANY (CAST(:ids AS uuid[])) AND status = 'pending'
""")
"""Makes claimed deliveries due again at once."""


class Receiver(NamedTuple):
    """Deliveries of one owner to one destination: scheme, host and port."""

    owner: Owner
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A claimed delivery. `attempts` were made before; where `body` is None it is built from the subject's row.

    `trace` is the span of the request that it is about, as `shared.observability.tracing.trace_context` writes it.
    """

    id: DeliveryId
    owner: Owner
    subject: str
    kind: str
    event: str
    url: str
    destination: str
    attempts: int
    body: Any
    trace: str | None = None

    @property
    def receiver(self) -> Receiver:
        """Return its owner and destination."""
        return Receiver(self.owner, self.destination)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt and its outcome; `pause` is the time until the next attempt, if there is one."""

    id: DeliveryId
    started_at: datetime
    duration_ms: float
    status: int | None
    error: str | None
    response: str
    outcome: DeliveryStatus
    pause: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How many deliveries may be claimed, and for how long.

    `each` is the most that this worker holds for one receiver, those already `in_hand` included.
    """

    each: int
    in_hand: Mapping[Receiver, int]
    lease: timedelta


def claim_for(connection: Connection, receivers: Sequence[Receiver], *, limit: int, terms: Terms) -> list[Claimed]:
    """Commit a lease on up to `limit` due deliveries to these receivers, the oldest first.

    If the worker dies they are due again when the lease ends. Two workers never claim the same delivery.
    """
    return _claim(connection, _CLAIM_FOR, receivers, limit=limit, terms=terms)


def claim_for_others(connection: Connection, besides: Sequence[Receiver], *, limit: int, terms: Terms) -> list[Claimed]:
    """Commit a lease as `claim_for` does, for every receiver but these."""
    return _claim(connection, _CLAIM_FOR_OTHERS, besides, limit=limit, terms=terms)


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
    """Commit attempts and their outcomes. Safe twice but for the deliveries' count of attempts."""
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
        connection.execute(_LOG_ATTEMPTS, {"attempts": orjson.dumps(made).decode()})


def give_back(connection: Connection, ids: Sequence[DeliveryId]) -> None:
    """Release deliveries that were claimed and not attempted; they are due at once."""
    with connection.begin():
        connection.execute(_GIVE_BACK, {"ids": list(ids)})
