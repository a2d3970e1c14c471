"""Marks of owners that are being purged. They expire, so that a killed purge does not lock its owner out.

For an hour afterwards it is remembered who was purged when, by a digest of the name: a picture that has been waiting to
be kept since then must not be, nor an output be cached that was being computed.
"""

import hashlib
from datetime import timedelta
from typing import Any, Final

import redis

from shared.domain.identifiers import Owner
from shared.domain.timestamps import now_us
from shared.queue import keys

MARKED: Final = timedelta(seconds=60)
"""How long a mark is valid; a purge renews it with every chunk."""
REMEMBERED: Final = timedelta(hours=1)
"""How long it is known that an owner was purged: longer than a picture waits to be kept."""
CLOCKS_DIFFER: Final = timedelta(seconds=5)
"""How far the clocks of two machines may lie apart."""


def mark(client: redis.Redis, owner: Owner) -> None:
    """Set or renew an owner's mark, and remove expired ones."""
    now = now_us()
    client.zremrangebyscore(keys.PURGING, "-inf", now)
    client.zadd(keys.PURGING, {owner: now + MARKED // timedelta(microseconds=1)})


def unmark(client: redis.Redis, owner: Owner) -> None:
    """Remove an owner's mark, and remember that it was purged until now; safe to repeat."""
    now = now_us()
    client.zremrangebyscore(keys.PURGED, "-inf", now - REMEMBERED // timedelta(microseconds=1))
    client.zadd(keys.PURGED, {_digest(owner): now})
    client.zrem(keys.PURGING, owner)


def is_purged(client: redis.Redis, owner: Owner, *, since: int) -> bool:
    """Tell whether an owner is being purged, or a purge ended since then (microseconds, within the hour)."""
    with client.pipeline(transaction=False) as pipeline:
        pipeline.zscore(keys.PURGING, owner)
        pipeline.zscore(keys.PURGED, _digest(owner))
        until, ended = pipeline.execute()
    return (until is not None and until > now_us()) or (
        ended is not None and ended + CLOCKS_DIFFER // timedelta(microseconds=1) >= since
    )


def _digest(owner: Owner) -> str:
    """Return the owner's name as `finish.lua` finds it too; Redis' Lua has no other digest."""
    return hashlib.sha1(owner.encode(), usedforsecurity=False).hexdigest()


def read_command() -> tuple[str | int, ...]:
    """Return the command whose reply `parse` reads."""
    return ("ZRANGEBYSCORE", keys.PURGING, now_us(), "+inf")


def parse(reply: Any) -> frozenset[Owner]:
    """Return the owners that are marked."""
    return frozenset(Owner(name.decode()) for name in reply)
