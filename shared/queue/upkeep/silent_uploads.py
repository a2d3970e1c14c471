"""Cancels batches through a blocking client: those whose gateway has died, and an owner's that are purged."""

from datetime import timedelta
from typing import Literal

import redis

from shared.domain.identifiers import BatchId
from shared.queue import keys
from shared.queue.batch_records import cancel_arguments, cancel_lane_arguments
from shared.queue.lua import Script, Scripts


class SilentUploads:
    """Cancels batches whose gateway is gone. Safe to run twice, and in two processes at once."""

    def __init__(self, client: redis.Redis, *, lease: timedelta) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._lease = lease // timedelta(microseconds=1)

    def cancel(self, now: int, *, most: int) -> int:
        """Cancel up to `most` batches that gave no sign of life since `now` (microseconds) less the lease."""
        silent: list[bytes] = self._client.zrange(keys.UPLOADS, 0, now - self._lease, byscore=True, offset=0, num=most)  # type: ignore[assignment]
        return sum(self._cancel(BatchId(id.decode())) for id in silent)

    def _cancel(self, id: BatchId) -> bool:
        said = cancel_and_wait(self._client, self._scripts, id, mode="silent", lease=self._lease)
        return said in (b"canceled", b"removed")


def cancel_and_wait(
    client: redis.Redis, scripts: Scripts, id: BatchId, *, mode: Literal["user", "silent"], lease: int = 0
) -> bytes:
    """Cancel a batch and what waits in its lane through a blocking client; return what the script said.

    With `silent` only one that gave no sign of life for `lease` microseconds.
    """
    found = client.hget(keys.batch(id), "lane")
    lane = found.decode() if found else ""  # type: ignore[union-attr]  # typed for the asyncio client too
    said: bytes = scripts.run(Script.CANCEL_BATCH, (keys.batch(id),), *cancel_arguments(id, mode, lease=lease))
    if said == b"canceled":
        while scripts.run(Script.CANCEL_LANE, (lane,), *cancel_lane_arguments(id)):
            pass  # a part at a time: each holds Redis for about a millisecond
    return said
