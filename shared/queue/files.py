"""Uploaded files, kept in Redis for a while: a hash each, found by owner and by the end of their time.

They have no TTL, for Redis evicts what has one when memory is short; a sweep purges them instead. A file whose time
is over is unknown from that instant, purged or not.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, cast

import orjson
from redis import Redis
from redis.exceptions import OutOfMemoryError

from shared.domain.errors import StorageUnavailable, UnknownFile
from shared.domain.identifiers import Digest, FileId, Owner, is_uuid, new_uuid7
from shared.queue import keys
from shared.queue.pipeline import Pipeline

_FACTS: Final = (
    "owner",
    "name",
    "content_type",
    "etag",
    "sha256",
    "size",
    "metadata",
    "created",
    "expires",
)
_CONTENT: Final = "content"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """An uploaded file; times in microseconds since 1970. `content` is empty where only facts were asked for."""

    id: FileId
    owner: Owner
    name: str
    content_type: str
    etag: str
    sha256: Digest
    size: int
    metadata: dict[str, Any]
    created: int
    expires: int
    content: bytes = field(default=b"", repr=False)


def new_file_id(*, created: int) -> FileId:
    """Return an id whose text order is the order of creation (microseconds) to the millisecond."""
    return FileId(new_uuid7(unix_ms=created // 1000))


def _score(id: FileId | str) -> int:
    """Return a file's place in its owner's list: the microseconds of the millisecond in its UUIDv7."""
    return int(id.replace("-", "")[:12], 16) * 1000


def now_us() -> int:
    """Return microseconds since 1970."""
    return time.time_ns() // 1000


async def keep(redis: Pipeline, file: StoredFile) -> None:
    """Store a file. Raises StorageUnavailable, also where Redis has no memory left for it.

    Safe to repeat: the same id writes the same. The purge's index comes first, so that whatever a crash leaves half
    written is found by it.
    """
    facts = {name: getattr(file, name) for name in _FACTS} | {"metadata": orjson.dumps(file.metadata)}
    fields = [part for pair in facts.items() for part in pair]
    try:
        await redis.call("ZADD", keys.FILES, file.expires, _member(file.owner, file.id))
        await redis.call("ZADD", keys.files_of(file.owner), _score(file.id), file.id)
        await redis.call("HSET", keys.file(file.id), *fields, _CONTENT, file.content)
    except OutOfMemoryError:
        raise no_room() from None


def no_room() -> StorageUnavailable:
    """Return the refusal of a Redis whose memory is at its limit: files leave it seldom."""
    return StorageUnavailable(store="redis", retry_after=timedelta(seconds=30))


async def fetch_facts(redis: Pipeline, owner: Owner, id: str, *, now: int | None = None) -> StoredFile:
    """Return an owner's file without its content; raises UnknownFile."""
    return await _fetch(redis, owner, id, _FACTS, now_us() if now is None else now)


async def fetch_content(redis: Pipeline, owner: Owner, id: str, *, now: int | None = None) -> StoredFile:
    """Return an owner's file with its content; raises UnknownFile."""
    return await _fetch(redis, owner, id, (*_FACTS, _CONTENT), now_us() if now is None else now)


async def list_facts(
    redis: Pipeline, owner: Owner, *, before: str | None, limit: int, now: int | None = None
) -> list[StoredFile]:
    """Return up to `limit` of an owner's files that came before the id `before`, newest first."""
    found: list[StoredFile] = []
    upper: int | str = "+inf" if before is None else _score(before)
    now = now_us() if now is None else now
    skip = 0
    while len(found) < limit:
        members: list[bytes] = await redis.call(
            "ZREVRANGEBYSCORE", keys.files_of(owner), upper, "-inf", "LIMIT", skip, limit
        )
        ids = [member.decode() for member in members]
        files = await asyncio.gather(
            *(
                _read(redis, owner, id, _FACTS, now)
                for id in ids
                if before is None or id < before  # others share the cursor's millisecond
            )
        )
        found += [file for file in files if file is not None]
        skip += len(members)
        if len(members) < limit:
            break
    return found[:limit]


async def delete(redis: Pipeline, owner: Owner, id: str, *, now: int | None = None) -> None:
    """Delete an owner's file; raises UnknownFile. Safe to repeat: what is gone stays gone."""
    file = await fetch_facts(redis, owner, id, now=now)
    await redis.call("UNLINK", keys.file(file.id))
    await redis.call("ZREM", keys.files_of(owner), file.id)
    await redis.call("ZREM", keys.FILES, _member(owner, file.id))


def purge_expired(client: Redis, now: int, limit: int) -> int:
    """Delete up to `limit` files whose time is over at `now` (microseconds) and return how many.

    Safe to repeat and to run in two places: the index entry goes last, so a purge that was cut short is done again.
    """
    members = cast("list[bytes]", client.zrangebyscore(keys.FILES, "-inf", now, start=0, num=limit))
    for member in members:
        id, _, owner = member.decode().partition(" ")
        remove(client, Owner(owner), FileId(id))
    return len(members)


def remove(client: Redis, owner: Owner, id: FileId) -> None:
    """Delete a file through a blocking client. Safe to repeat: the purge's index goes last."""
    with client.pipeline(transaction=False) as pipe:
        pipe.unlink(keys.file(id))
        pipe.zrem(keys.files_of(owner), id)
        pipe.zrem(keys.FILES, _member(owner, id))
        pipe.execute()


def _member(owner: Owner, id: FileId) -> str:
    """Return what the purge's index has of a file."""
    return f"{id} {owner}"


async def _fetch(redis: Pipeline, owner: Owner, id: str, names: tuple[str, ...], now: int) -> StoredFile:
    file = await _read(redis, owner, id, names, now)
    if file is None:
        raise UnknownFile(id=id)
    return file


async def _read(redis: Pipeline, owner: Owner, id: str, names: tuple[str, ...], now: int) -> StoredFile | None:
    """Read one hash; None for whatever is not this owner's, or not any more."""
    if not is_uuid(id):
        return None
    values: list[bytes | None] = await redis.call("HMGET", keys.file(FileId(id)), *names)
    stored = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    if len(stored) < len(names) or stored["owner"].decode() != owner or int(stored["expires"]) <= now:
        return None
    return StoredFile(
        id=FileId(id),
        owner=owner,
        name=stored["name"].decode(),
        content_type=stored["content_type"].decode(),
        etag=stored["etag"].decode(),
        sha256=Digest(stored["sha256"].decode()),
        size=int(stored["size"]),
        metadata=orjson.loads(stored["metadata"]),
        created=int(stored["created"]),
        expires=int(stored["expires"]),
        content=stored.get(_CONTENT, b""),
    )
