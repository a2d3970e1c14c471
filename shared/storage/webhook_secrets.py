"""Secrets that sign an owner's webhooks: the current one, and for a while those before it (Standard Webhooks 1.0)."""

import base64
import secrets
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, text

from shared.domain.identifiers import Owner

BYTES: Final = 32
PREFIX: Final = "whsec_"

MOST: Final = 5
"""Secrets that sign at a time at most, however often an owner rotates: the signatures must fit into a header."""

_INSERT_IF_NONE = text("""
    INSERT INTO webhook_secrets (owner, key) VALUES (:owner, :key)
    ON CONFLICT (owner) WHERE retired_at IS NULL DO NOTHING
""")
"""Inserts a secret unless the owner has a current one."""

_READ = text("""
    SELECT key FROM webhook_secrets
    WHERE owner = :owner AND (retired_at IS NULL OR retired_at > clock_timestamp() - CAST(:overlap AS interval))
    ORDER BY retired_at DESC NULLS FIRST LIMIT :most
""")
"""Reads the current secret and those retired less than `overlap` ago, the newest first."""

_LOCK_ROTATION = text("SELECT pg_advisory_xact_lock(hashtext('webhook_secrets'), hashtext(:owner))")
"""Waits until no other transaction rotates this owner's secret."""

_RETIRE = text("UPDATE webhook_secrets SET retired_at = clock_timestamp() WHERE owner = :owner AND retired_at IS NULL")
"""Retires the owner's current secret."""

_DELETE_RETIRED = text("""
    DELETE FROM webhook_secrets
    WHERE owner = :owner AND retired_at <= clock_timestamp() - CAST(:overlap AS interval)
""")
"""Deletes the owner's secrets that no longer sign."""


def new_secret() -> str:
    """Return a new secret: `whsec_` and 32 random bytes in padded standard base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()


def signing_secrets(connection: Connection, owner: Owner, *, overlap: timedelta) -> list[str]:
    """Return the owner's signing secrets, the newest first: more than one for `overlap` after a rotation.

    An owner without a secret gets one now.
    """
    with connection.begin():
        connection.execute(_INSERT_IF_NONE, {"owner": owner, "key": new_secret()})
        found = connection.execute(_READ, {"owner": owner, "overlap": overlap, "most": MOST})
        return [str(key) for key in found.scalars()]


def rotate_secret(connection: Connection, owner: Owner, *, overlap: timedelta) -> str:
    """Give the owner a new secret and return it; earlier ones go on signing for `overlap`.

    If it is repeated because an answer was lost, the secret that receivers know still signs.
    """
    key = new_secret()
    with connection.begin():
        connection.execute(_LOCK_ROTATION, {"owner": owner})
        connection.execute(_DELETE_RETIRED, {"owner": owner, "overlap": overlap})
        connection.execute(_RETIRE, {"owner": owner})
        connection.execute(_INSERT_IF_NONE, {"owner": owner, "key": key})
    return key
