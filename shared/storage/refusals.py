"""The one table of refusals of Postgres: errors by which a server that is there says that it can't serve now."""

from typing import Final

from sqlalchemy.exc import DBAPIError

REFUSALS: Final = {
    "53100": "has no room on its disk",
    "53200": "is out of memory",
    "53300": "has as many connections as it allows",
    "25006": "takes no writes: it is a replica, or set to read-only",
    "57P03": "is starting or stopping",
    "58030": "can't read or write its disk",
    "XX001": "finds its data damaged",
    "XX002": "finds an index damaged",
}
"""Words to follow "postgres", by SQLSTATE."""
_SAID_WHEN_CONNECTING: Final = {
    "No space left on device": "53100",
    "too many clients already": "53300",
    "remaining connection slots are reserved": "53300",
    "the database system is starting up": "57P03",
    "the database system is shutting down": "57P03",
    "the database system is in recovery mode": "57P03",
    "the database system is not yet accepting connections": "57P03",
}
"""libpq gives no SQLSTATE of what ends an attempt to connect, only the server's message (in English mostly)."""


def describe(error: BaseException) -> str:
    """Return in words, with the SQLSTATE, why Postgres refuses; empty where it does not, or can't be reached."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    text = str(original)
    said = (code for words, code in _SAID_WHEN_CONNECTING.items() if words in text)
    code = getattr(original, "pgcode", None) or next(said, "")
    return f"{REFUSALS[code]} ({code})" if code in REFUSALS else ""
