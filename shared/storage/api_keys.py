"""The API keys: made, listed, revoked, and all that are good at once, for a gateway to keep in memory."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from shared.domain.api_keys import ApiKey, Caller, Role, digest, new_key, shown_part
from shared.domain.identifiers import KeyId, Owner
from shared.domain.key_limits import Limits

_COLUMNS = "id::text, owner, hash, shown, role, rate, max_inflight, created_at, revoked_at"

_CREATE = text(f"""
    INSERT INTO api_keys (owner, hash, shown, role, rate, max_inflight)
    VALUES (:owner, :hash, :shown, :role, :rate, :max_inflight)
    RETURNING {_COLUMNS}
""")  # noqa: S608  the columns are our own

_ALL = text(f"SELECT {_COLUMNS} FROM api_keys ORDER BY id")  # noqa: S608

_GOOD = text("SELECT id::text, owner, hash, role, rate, max_inflight FROM api_keys WHERE revoked_at IS NULL")

# A tenth of a millisecond for a thousand keys; whatever changes them changes one of these.
_EDITION = text("SELECT count(*), max(id::text), max(revoked_at)::text FROM api_keys")

_REVOKE = text(f"""
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp())
    WHERE id::text = :named OR shown = :named OR hash = :hash
    RETURNING {_COLUMNS}
""")  # noqa: S608


_REVOKE_OWNER = text("""
    UPDATE api_keys SET revoked_at = clock_timestamp() WHERE owner = :owner AND revoked_at IS NULL
""")


def create_key(
    connection: Connection, owner: Owner, *, role: Role, rate: float | None = None, max_inflight: int | None = None
) -> tuple[ApiKey, str]:
    """Make a key; return what is known of it, and the key, which nobody can say again."""
    key = new_key()
    values = {"owner": owner, "role": role, "rate": rate, "max_inflight": max_inflight}
    with connection.begin():
        row = connection.execute(_CREATE, values | {"hash": digest(key), "shown": shown_part(key)}).one()
    return _key(row), key


def list_keys(connection: Connection) -> list[ApiKey]:
    """Return all keys there ever were, the oldest first."""
    with connection.begin():
        return [_key(row) for row in connection.execute(_ALL)]


def keys_version(connection: Connection) -> tuple[object, ...]:
    """Return what is another whenever a key was made, revoked or deleted."""
    with connection.begin():
        return tuple(connection.execute(_EDITION).one())


def callers_by_digest(connection: Connection) -> dict[str, Caller]:
    """Return who the keys that are not revoked stand for, by the keys' digests."""
    with connection.begin():
        rows = connection.execute(_GOOD).all()
    return {
        row.hash: Caller(
            owner=Owner(row.owner),
            role=Role(row.role),
            limits=_limits(row),
        )
        for row in rows
    }


def revoke_keys(connection: Connection, named: str) -> list[ApiKey]:
    """Revoke a key by itself or its id, or those that are shown so; return them. Twice, the first time counts."""
    which = {"named": named.rstrip("…"), "hash": digest(named)}
    with connection.begin():
        return [_key(row) for row in connection.execute(_REVOKE, which)]


def revoke_keys_of(connection: Connection, owner: Owner) -> int:
    """Revoke all of an owner's keys; return how many were good until now."""
    with connection.begin():
        return connection.execute(_REVOKE_OWNER, {"owner": owner}).rowcount


def _key(row: Row[Any]) -> ApiKey:
    created_at: datetime = row.created_at
    return ApiKey(
        id=KeyId(row.id),
        owner=Owner(row.owner),
        shown=row.shown,
        role=Role(row.role),
        limits=_limits(row),
        created_at=created_at,
        revoked_at=row.revoked_at,
    )


def _limits(row: Row[Any]) -> Limits:
    return Limits(key=KeyId(row.id), rate=row.rate, max_inflight=row.max_inflight)
