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

_TAKE = text("INSERT INTO webhook_secrets (owner, key) VALUES (:owner, :key) ON CONFLICT (owner) DO NOTHING")

_READ = text("""
    SELECT key, CASE WHEN rotated_at > clock_timestamp() - CAST(:overlap AS interval) THEN previous END
    FROM webhook_secrets WHERE owner = :owner
""")

_ROTATE = text("""
    UPDATE webhook_secrets SET previous = key, key = :key, rotated_at = clock_timestamp() WHERE owner = :owner
""")


def new_secret() -> str:
    """Return `whsec_` and 32 bytes by chance in padded standard base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()


def read(connection: Connection, owner: Owner, *, overlap: timedelta) -> list[str]:
    """Return the owner's secrets, the newest first: two for `overlap` after a rotation. The first is made now."""
    with connection.begin():
        connection.execute(_TAKE, {"owner": owner, "key": new_secret()})
        key, previous = connection.execute(_READ, {"owner": owner, "overlap": overlap}).one()
    return [key] if previous is None else [key, previous]


def rotate(connection: Connection, owner: Owner) -> str:
    """Give the owner a new secret and return it; the old one signs too for a while."""
    key = new_secret()
    with connection.begin():
        connection.execute(_TAKE, {"owner": owner, "key": new_secret()})
        connection.execute(_ROTATE, {"owner": owner, "key": key})
    return key
