"""What signs an owner's webhooks: one secret, and for a while after a rotation the one before.

As in Standard Webhooks 1.0.
"""

import base64
import secrets
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, text

from shared.domain.identifiers import Owner

BYTES: Final = 32
PREFIX: Final = "whsec_"

MOST: Final = 5
"""So many sign at most, however often somebody rotates: a header has room for them."""

_TAKE = text("""
    INSERT INTO webhook_secrets (owner, key) VALUES (:owner, :key)
    ON CONFLICT (owner) WHERE retired_at IS NULL DO NOTHING
""")

_READ = text("""
    SELECT key FROM webhook_secrets
    WHERE owner = :owner AND (retired_at IS NULL OR retired_at > clock_timestamp() - CAST(:overlap AS interval))
    ORDER BY retired_at DESC NULLS FIRST LIMIT :most
""")

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('webhook_secrets'), hashtext(:owner))")

_RETIRE = text("UPDATE webhook_secrets SET retired_at = clock_timestamp() WHERE owner = :owner AND retired_at IS NULL")

_FORGET = text("""
    DELETE FROM webhook_secrets
    WHERE owner = :owner AND retired_at <= clock_timestamp() - CAST(:overlap AS interval)
""")


def new_secret() -> str:
    """Return `whsec_` and 32 bytes by chance in padded standard base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()


def signing_secrets(connection: Connection, owner: Owner, *, overlap: timedelta) -> list[str]:
    """Return the owner's secrets, the newest first: more than one for `overlap` after a rotation.

    The first is made now.
    """
    with connection.begin():
        connection.execute(_TAKE, {"owner": owner, "key": new_secret()})
        found = connection.execute(_READ, {"owner": owner, "overlap": overlap, "most": MOST})
        return [str(key) for key in found.scalars()]


def rotate_secret(connection: Connection, owner: Owner, *, overlap: timedelta) -> str:
    """Give the owner a new secret and return it; those before sign too for `overlap`.

    Done twice, by who saw no answer: the one that receivers know signs on.
    """
    key = new_secret()
    with connection.begin():
        connection.execute(_ONE_AT_A_TIME, {"owner": owner})
        connection.execute(_FORGET, {"owner": owner, "overlap": overlap})
        connection.execute(_RETIRE, {"owner": owner})
        connection.execute(_TAKE, {"owner": owner, "key": key})
    return key
