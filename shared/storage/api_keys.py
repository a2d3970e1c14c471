"""API keys in Postgres: create, list, revoke, and read all valid ones at once, which a gateway keeps in memory."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from shared.domain.api_keys import ApiKey, Caller, Role, key_digest, new_key, shown_characters
from shared.domain.identifiers import KeyId, Owner
from shared.domain.key_limits import Limits

_COLUMNS = "id::text, owner, hash, shown, role, rate, max_inflight, created_at, revoked_at"

_CREATE_KEY = text(f"""
    INSERT INTO api_keys (owner, hash, shown, role, rate, max_inflight)
    VALUES (:owner, :hash, :shown, :role, :rate, :max_inflight)
    RETURNING {_COLUMNS}
""")  # noqa: S608  the columns are our own
"""Inserts a key."""

_LIST_KEYS = text(f"SELECT {_COLUMNS} FROM api_keys ORDER BY id")  # noqa: S608
"""Reads all keys, revoked ones too, the oldest first."""

_LIST_KEYS_OF = text(f"SELECT {_COLUMNS} FROM api_keys WHERE owner = :owner ORDER BY id DESC LIMIT :most")  # noqa: S608
"""Reads an owner's keys, revoked ones too, the newest first."""

_VALID_KEYS = text(
    "SELECT id::text, owner, hash, shown, role, rate, max_inflight FROM api_keys WHERE revoked_at IS NULL"
)
"""Reads the keys that are not revoked."""

_COUNT_VALID_OF = text("SELECT count(*) FROM api_keys WHERE owner = :owner AND revoked_at IS NULL")
"""Counts an owner's keys that are not revoked."""

_KEYS_VERSION = text("SELECT count(*), max(id::text), max(revoked_at)::text FROM api_keys")
"""Reads three values of which one changes whenever a key is created, revoked or deleted: 0.1 ms for 1,000 keys."""

_REVOKE_KEYS = text(f"""
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp())
    WHERE id::text = :named OR shown = :named OR hash = :hash
    RETURNING {_COLUMNS}
""")  # noqa: S608
"""Revokes the keys with this id, these first characters or this digest; a key stays revoked since the first time."""

_REVOKE_KEY_OF = text(f"""
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp())
    WHERE id = CAST(:id AS uuid) AND owner = :owner
    RETURNING {_COLUMNS}
""")  # noqa: S608
"""Revokes one key of an owner; it stays revoked since the first time."""

_REVOKE_KEYS_OF = text("""
    UPDATE api_keys SET revoked_at = clock_timestamp() WHERE owner = :owner AND revoked_at IS NULL
""")
"""Revokes all keys of an owner."""


def create_key(
    connection: Connection, owner: Owner, *, role: Role, rate: float | None = None, max_inflight: int | None = None
) -> tuple[ApiKey, str]:
    """Create a key; return what is stored of it, and the key itself, which can't be read again."""
    key = new_key()
    values = {"owner": owner, "role": role, "rate": rate, "max_inflight": max_inflight}
    with connection.begin():
        row = connection.execute(_CREATE_KEY, values | {"hash": key_digest(key), "shown": shown_characters(key)}).one()
    return _key(row), key


def create_key_within(
    connection: Connection, owner: Owner, *, most: int, role: Role, rate: float | None, max_inflight: int | None
) -> tuple[ApiKey, str] | None:
    """Do what `create_key` does; None where the owner has `most` valid keys already, or a few more by calls at once."""
    with connection.begin():
        valid: int = connection.execute(_COUNT_VALID_OF, {"owner": owner}).scalar_one()
    if valid >= most:
        return None
    return create_key(connection, owner, role=role, rate=rate, max_inflight=max_inflight)


def list_keys(connection: Connection) -> list[ApiKey]:
    """Return all keys, revoked ones too, the oldest first."""
    with connection.begin():
        return [_key(row) for row in connection.execute(_LIST_KEYS)]


def list_keys_of(connection: Connection, owner: Owner, *, most: int) -> list[ApiKey]:
    """Return an owner's keys, revoked ones too, the newest first."""
    with connection.begin():
        return [_key(row) for row in connection.execute(_LIST_KEYS_OF, {"owner": owner, "most": most})]


def keys_version(connection: Connection) -> tuple[object, ...]:
    """Return a value that changes whenever a key is created, revoked or deleted."""
    with connection.begin():
        return tuple(connection.execute(_KEYS_VERSION).one())


def callers_by_digest(connection: Connection) -> dict[str, Caller]:
    """Return the caller of each key that is not revoked, by the key's digest."""
    with connection.begin():
        rows = connection.execute(_VALID_KEYS).all()
    return {
        row.hash: Caller(
            owner=Owner(row.owner),
            role=Role(row.role),
            limits=_limits(row),
            shown=row.shown,
        )
        for row in rows
    }


def revoke_keys(connection: Connection, named: str) -> list[ApiKey]:
    """Revoke the keys that `named` means: a key itself, its id, or its first characters as shown. Return them.

    Safe twice: the first time of revocation stays.
    """
    which = {"named": named.rstrip("…"), "hash": key_digest(named)}
    with connection.begin():
        return [_key(row) for row in connection.execute(_REVOKE_KEYS, which)]


def revoke_key_of(connection: Connection, owner: Owner, key: KeyId) -> ApiKey | None:
    """Revoke one key of an owner, named by its id, a UUID; None where the owner has no such key. Safe twice."""
    with connection.begin():
        row = connection.execute(_REVOKE_KEY_OF, {"id": key, "owner": owner}).one_or_none()
    return None if row is None else _key(row)


def revoke_keys_of(connection: Connection, owner: Owner) -> int:
    """Revoke all keys of an owner; return how many were valid until now."""
    with connection.begin():
        return connection.execute(_REVOKE_KEYS_OF, {"owner": owner}).rowcount


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
