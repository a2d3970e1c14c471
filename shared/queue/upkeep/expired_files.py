"""Uploaded files whose time is over are deleted by sweeps: they have no TTL, because Redis evicts what has one."""

from typing import cast

from redis import Redis

from shared.domain.identifiers import FileId, Owner
from shared.queue import keys
from shared.queue.lua import Script, Scripts


def purge_expired(client: Redis, now: int, limit: int) -> int:
    """Delete up to `limit` files that have expired at `now` (microseconds) and return how many.

    Safe to repeat and to run in two places.
    """
    scripts = Scripts(client)
    members = cast("list[bytes]", client.zrangebyscore(keys.FILES, "-inf", now, start=0, num=limit))
    for member in members:
        id, _, owner = member.decode().partition(" ")
        remove_file(scripts, Owner(owner), FileId(id))
    return len(members)


def remove_file(scripts: Scripts, owner: Owner, id: FileId) -> None:
    """Delete a file through a blocking client's scripts. Safe to repeat."""
    scripts.run(Script.REMOVE_FILE, (keys.file(id), keys.files_of(owner)), owner, id)
