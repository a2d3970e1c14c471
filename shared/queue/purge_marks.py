"""Which owners are being purged: a mark with a time, so that a purge that was killed lets go of its owner by itself."""

from datetime import timedelta
from typing import Any, Final

import redis

from shared.domain.identifiers import Owner
from shared.domain.timestamps import now_us
from shared.queue import keys

MARKED: Final = timedelta(seconds=60)
"""How long a mark holds; a purge renews it with every chunk."""


def mark(client: redis.Redis, owner: Owner) -> None:
    """Say that an owner is being purged, or still is; what is left of purges that were killed goes."""
    now = now_us()
    client.zremrangebyscore(keys.PURGING, "-inf", now)
    client.zadd(keys.PURGING, {owner: now + MARKED // timedelta(microseconds=1)})


def unmark(client: redis.Redis, owner: Owner) -> None:
    """Say that a purge has ended; safe to repeat."""
    client.zrem(keys.PURGING, owner)


def read_command() -> tuple[str | int, ...]:
    """Return the command that lists them."""
    return ("ZRANGEBYSCORE", keys.PURGING, now_us(), "+inf")


def parse(reply: Any) -> frozenset[Owner]:
    """Return the owners of its reply."""
    return frozenset(Owner(name.decode()) for name in reply)
