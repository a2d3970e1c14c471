"""Uploaded files, kept in Redis until they expire: a hash each, listed by owner and by expiry.

They have no TTL, because Redis evicts keys with one when memory is short, and a file was promised for a time; sweeps
purge them instead. When space is short, uploads are refused rather than files dropped: the scripts that keep and remove
files count the bytes of each owner and of all. An expired file is unknown from that instant, purged or not.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import orjson
from redis.exceptions import OutOfMemoryError

from shared.domain.errors import FileQuota, StorageUnavailable, UnknownFile, UploadTooLarge
from shared.domain.identifiers import Digest, FileId, Owner, is_uuid, new_uuid7
from shared.domain.timestamps import now_us
from shared.queue import keys
from shared.queue.connection.pipeline import Pipeline
from shared.queue.lua import Script
from shared.queue.producer.file_quota import AHEAD, Quota

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
    """Return a file's score in its owner's sorted set: its UUIDv7's millisecond, in microseconds."""
    return int(id.replace("-", "")[:12], 16) * 1000


class Files:
    """Uploaded files, through the gateway's pipeline. Every method is safe to repeat."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._redis = pipeline

    async def keep(self, file: StoredFile, quota: Quota, *, turn: asyncio.Lock) -> None:
        """Store a file. Raises what `check_quota` raises, and StorageUnavailable where Redis has no memory for it.

        The same id is written and counted once. Two uploads of the same content are two files. `turn` lets one at a
        time send its content: Redis holds what is being sent twice, also where it then refuses it.
        """
        facts: dict[str, bytes | str | int] = {name: getattr(file, name) for name in _FACTS}
        facts |= {"metadata": orjson.dumps(file.metadata), _CONTENT: file.content}
        fields = [part for pair in facts.items() for part in pair]
        # Its name and metadata lie there too.
        size = sum(len(part) for part in fields if isinstance(part, bytes | str))
        names, *arguments = _arguments(file.owner, file.id, file.expires, size, quota)
        async with turn:
            _raise_refusal(await self._redis.evaluate(Script.KEEP_FILE, names, *arguments), size, quota)
            try:
                said = await self._redis.evaluate_or_full(Script.KEEP_FILE, names, *arguments, *fields)
            except OutOfMemoryError:
                raise no_room() from None
        _raise_refusal(said, size, quota)

    async def check_quota(self, owner: Owner, size: int, quota: Quota) -> None:
        """Raise FileQuota or StorageUnavailable if a file of `size` bytes would be refused now; changes nothing."""
        id = new_file_id(created=now_us())
        names, *arguments = _arguments(owner, id, 0, size, quota)
        _raise_refusal(await self._redis.evaluate(Script.KEEP_FILE, names, *arguments), size, quota)

    async def facts(self, owner: Owner, id: str) -> StoredFile:
        """Return an owner's file without its content; raises UnknownFile."""
        return await self._fetch(owner, id, _FACTS)

    async def content(self, owner: Owner, id: str) -> StoredFile:
        """Return an owner's file with its content; raises UnknownFile."""
        return await self._fetch(owner, id, (*_FACTS, _CONTENT))

    async def list_newest(self, owner: Owner, *, before: str | None, limit: int) -> list[StoredFile]:
        """Return up to `limit` of an owner's files that came before the id `before`, newest first."""
        found: list[StoredFile] = []
        upper: int | str = "+inf" if before is None else _score(before)
        now = now_us()
        skip = 0
        while len(found) < limit:
            members: list[bytes] = await self._redis.call(
                "ZREVRANGEBYSCORE", keys.files_of(owner), upper, "-inf", "LIMIT", skip, limit
            )
            ids = [member.decode() for member in members]
            files = await asyncio.gather(
                *(
                    self._read(owner, id, _FACTS, now)
                    for id in ids
                    if before is None or id < before  # other files have the cursor's millisecond
                )
            )
            found += [file for file in files if file is not None]
            skip += len(members)
            if len(members) < limit:
                break
        return found[:limit]

    async def delete(self, owner: Owner, id: str) -> None:
        """Delete an owner's file; raises UnknownFile."""
        file = await self.facts(owner, id)
        await self._redis.evaluate(Script.REMOVE_FILE, (keys.file(file.id), keys.files_of(owner)), owner, file.id)

    async def _fetch(self, owner: Owner, id: str, names: tuple[str, ...]) -> StoredFile:
        file = await self._read(owner, id, names, now_us())
        if file is None:
            raise UnknownFile(id=id)
        return file

    async def _read(self, owner: Owner, id: str, names: tuple[str, ...], now: int) -> StoredFile | None:
        """Return one file; None where it has expired or is not this owner's."""
        if not is_uuid(id):
            return None
        values: list[bytes | None] = await self._redis.call("HMGET", keys.file(FileId(id)), *names)
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


def _arguments(
    owner: Owner, id: FileId, expires: int, size: int, quota: Quota
) -> tuple[tuple[str, ...], *tuple[Any, ...]]:
    """Return the script's keys, then its arguments except for the file itself."""
    names = (keys.file(id), keys.files_of(owner), keys.upload_rate(owner))
    of_all = "" if quota.max_bytes_of_all is None else quota.max_bytes_of_all
    pace = max(1, 1_000_000_000 // quota.max_bytes_a_second)
    ahead = AHEAD // timedelta(microseconds=1)
    return (names, owner, id, _score(id), expires, size, quota.max_files, quota.max_bytes, of_all, pace, ahead)


def _raise_refusal(said: list[bytes], size: int, quota: Quota) -> None:
    """Raise the error that the script's reply stands for, if it refused."""
    match said:
        case [b"kept" | b"again"]:
            return
        case [b"room", _]:
            raise no_room()
        case [b"fast", wait]:
            rate, pause = quota.max_bytes_a_second, timedelta(microseconds=int(wait))
            raise FileQuota(limit="bytes_a_second", size=size, used=rate, allowed=rate, retry_after=pause)
        case [b"bytes", _, _] if size > quota.max_bytes:
            raise UploadTooLarge(size=size, limit=quota.max_bytes)
        case [limit, used, until]:
            left = timedelta(microseconds=max(0, int(until) - now_us()))
            of_files = limit == b"files"
            raise FileQuota(
                limit="files" if of_files else "bytes",
                size=size,
                used=int(used),
                allowed=quota.max_files if of_files else quota.max_bytes,
                retry_after=left,
            )
    raise AssertionError(f"the script said {said!r}")


def no_room() -> StorageUnavailable:
    """Return the error for when files take all the memory they may, or Redis is full; files free memory slowly."""
    return StorageUnavailable(
        store="redis", reason="has no room for more files", retry_after=timedelta(seconds=30), certain=True
    )
