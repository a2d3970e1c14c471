"""Marks of owners that are being purged. They expire, so that a killed purge does not lock its owner out."""

from datetime import timedelta
from typing import Any, Final

import redis

from shared.domain.identifiers import Owner
from shared.domain.timestamps import now_us
from shared.queue import keys

MARKED: Final = timedelta(seconds=60)
"""How long a mark is valid; a purge renews it with every chunk."""


def mark(client: redis.Redis, owner: Owner) -> None:
    """Set or renew an owner's mark, and remove expired ones."""
    now = now_us()
    client.zremrangebyscore(keys.PURGING, "-inf", now)
    client.zadd(keys.PURGING, {owner: now + MARKED // timedelta(microseconds=1)})


def unmark(client: redis.Redis, owner: Owner) -> None:
    """Remove an owner's mark; safe to repeat."""
    client.zrem(keys.PURGING, owner)


def read_command() -> tuple[str | int, ...]:
    """Return the command whose reply `parse` reads."""
    return ("ZRANGEBYSCORE", keys.PURGING, now_us(), "+inf")


def parse(reply: Any) -> frozenset[Owner]:
    """Return the owners that are marked."""
    return frozenset(Owner(name.decode()) for name in reply)
