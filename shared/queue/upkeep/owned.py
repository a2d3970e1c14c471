"""Deletes everything of one owner in Redis: cancels unfinished work, then deletes what is left.

Every step is safe to repeat.
"""

from collections.abc import Iterator
from typing import Any, Final, cast

import redis

from shared.domain.identifiers import BatchId, FileId, Owner
from shared.queue import bells, keys, model_routes
from shared.queue.lua import Script, Scripts
from shared.queue.upkeep import expired_files
from shared.queue.upkeep.shadow_images import ShadowImages
from shared.queue.upkeep.silent_uploads import cancel_and_wait

CHUNK: Final = 1000
_HASHES: Final = (keys.job_prefix().encode(), keys.batch_prefix().encode())


class Owned:
    """What one owner has in Redis, through a blocking client."""

    def __init__(self, client: redis.Redis, owner: Owner) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._owner = owner

    def cancel_all(self) -> Iterator[int]:
        """Cancel every unfinished batch and job; give, step by step, how many were canceled."""
        for id in self._members(keys.batches(self._owner)):
            cancel_and_wait(self._client, self._scripts, BatchId(id), mode="user")
            yield 1
        for id in self._members(keys.inflight(self._owner)):
            said = self._scripts.run(Script.CANCEL, (), bells.record_message(), id, "user", self._owner)
            yield said == b"canceled"

    def unrecorded(self) -> int:
        """Return how many of the owner's ended jobs and batches wait for their row."""
        mine, after = self._owner.encode(), "-"
        waiting = 0
        while True:
            found: Any = self._client.xrange(keys.FINISHED, min=after, count=CHUNK)
            waiting += sum(1 for _, record in found if record.get(b"owner") == mine)
            if len(found) < CHUNK:
                return waiting
            after = f"({found[-1][0].decode()}"

    def has_unrecorded(self) -> bool:
        """Tell whether a job of the owner's is unfinished, or has ended and waits for its row."""
        return bool(self._client.exists(keys.inflight(self._owner))) or bool(self.unrecorded())

    def delete_all(self) -> Iterator[int]:
        """Delete files, images kept for a shadow or for a retry, recorded jobs and batches, cached outputs, and so on.

        Idempotency keys too. Give how many, step by step.

        Jobs and batches without a TTL are not recorded yet, and stay. One pass over all keys.
        """
        for id in self._members(keys.files_of(self._owner)):
            expired_files.remove_file(self._scripts, self._owner, FileId(id))
            yield 1
        for model in {*model_routes.names(self._client), *model_routes.leaving(self._client)}:
            yield from ShadowImages(self._client, model).drop_of_owner(self._owner)
        yield from self._drop_failed()
        cached = f"{keys.cache_prefix()}{self._owner}:".encode()
        named = keys.idempotency(self._owner, "").encode()
        cursor = -1
        while cursor:
            page: Any = self._client.scan(max(cursor, 0), count=CHUNK)
            cursor, names = page
            outputs = [name for name in names if name.startswith(cached)]
            idempotent = [name for name in names if name.startswith(named)]
            yield self._unlink([*outputs, *idempotent, *self._recorded(names)])
            if idempotent:
                self._client.zrem(keys.IDEMPOTENCY_KEYS, *idempotent)

    def _drop_failed(self) -> Iterator[int]:
        """Delete the owner's images that are kept of failed computations."""
        kept = keys.failed_images_of(self._owner)
        while members := cast("list[bytes]", self._client.zrange(kept, 0, CHUNK - 1)):
            yield int(self._scripts.run(Script.DROP_FAILED, (), *members))

    def _recorded(self, names: list[bytes]) -> list[bytes]:
        """Return the keys that are recorded jobs or batches of this owner."""
        jobs = [name for name in names if name.startswith(_HASHES)]
        with self._client.pipeline(transaction=False) as pipe:
            for name in jobs:
                pipe.hget(name, "owner")
                pipe.pttl(name)
            said = pipe.execute()
        answers = zip(jobs, said[::2], said[1::2], strict=True)
        return [job for job, owner, left in answers if owner == self._owner.encode() and left >= 0]

    def _unlink(self, names: list[bytes]) -> int:
        return int(self._client.unlink(*names)) if names else 0

    def _members(self, key: str) -> Iterator[str]:
        """Give the members that a sorted set has now."""
        found: Any = self._client.zrange(key, 0, -1)
        yield from (member.decode() for member in found)
