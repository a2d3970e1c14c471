"""Bulk uploads: opened, tended while they are read, filled, closed or canceled. Their items are jobs like any other.

While a batch is `validating`, its gateway gives a sign of life every few seconds; a sweep cancels a batch whose gateway
has died. Redis knows only how many items were accepted: how many have ended is counted in Postgres.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from redis.exceptions import OutOfMemoryError

from shared.domain.errors import IdempotencyMismatch, UploadInProgress
from shared.domain.identifiers import BatchId, ModelName, Owner
from shared.domain.key_limits import Limits
from shared.domain.webhooks import Webhook
from shared.queue import batch_records, bells, keys
from shared.queue.batch_records import BatchRecord, cancel_arguments, cancel_lane_arguments
from shared.queue.connection.pipeline import Pipeline
from shared.queue.lua import Script
from shared.queue.producer.staged_images import stage_all
from shared.queue.producer.submission import BatchClosed, Prepared, submit_command
from shared.settings import Queue

__all__ = ["BatchRecord", "Batches", "Opening", "RedisFull"]

MOST_UNENDED: Final = 1000
"""How many of an owner's newest batches are considered for a list."""


class RedisFull(Exception):
    """Redis has no memory left for what was sent; nothing of it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A bulk upload as it begins; two with one idempotency key are the same upload if their `fingerprint` is equal."""

    id: BatchId
    owner: Owner
    model: ModelName
    metadata: dict[str, Any]
    base_url: str
    lane_model: ModelName | None = None
    """The model in whose lanes its items wait, where that is not `model`: a pipeline has no lane of its own."""
    idempotency_key: str = ""
    fingerprint: str = ""
    webhook: Webhook | None = None
    request_id: str | None = None
    """Of the upload's HTTP request; every item has it."""
    retry_of: BatchId | None = None
    """The batch whose failed items these are."""
    trace: str | None = None
    """The span of that request; its items' entries and its webhook have it."""

    def request(self, *, skipped: int = 0, skipped_files: Sequence[str] = ()) -> bytes:
        """Return what is kept with the batch, as JSON."""
        facts: dict[str, Any] = {"model": self.model, "metadata": self.metadata, "base_url": self.base_url}
        if self.retry_of:
            facts["retry_of"] = self.retry_of
        webhook = None if self.webhook is None else self.webhook.as_json()
        if webhook is not None and self.trace:
            webhook["trace"] = self.trace
        return orjson.dumps({**facts, "skipped": skipped, "skipped_files": skipped_files, "webhook": webhook})

    @property
    def lane(self) -> str:
        """The lane that its items wait in."""
        return keys.lane(self.lane_model or self.model, keys.bulk_lane(self.id))


class Batches:
    """An asyncio gateway's batches. Every method may be repeated after a lost answer."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._redis = pipeline

    async def open(self, opening: Opening) -> BatchId:
        """Open the batch and return its id, or that of the one that came before under the same key.

        Raises UploadInProgress while that one is still being read, and IdempotencyMismatch where it was another
        request.
        """
        key = opening.idempotency_key
        idempotency = keys.idempotency(opening.owner, key) if key else ""
        names = (keys.batch(opening.id), idempotency, keys.batches(opening.owner))
        said, first = await self._redis.evaluate(
            Script.OPEN_BATCH,
            names,
            opening.id,
            opening.owner,
            opening.request(),
            opening.lane,
            opening.fingerprint,
        )
        if said == b"mismatch":
            raise IdempotencyMismatch(key=key, first_id=first.decode())
        if said == b"reading":
            raise UploadInProgress(key=key, first_id=first.decode())
        return BatchId(first.decode())

    async def tend(self, id: BatchId) -> bool:
        """Give a sign of life; return whether the batch still takes items."""
        return bool(await self._redis.evaluate(Script.TEND_BATCH, (keys.batch(id),), id) == b"validating")

    async def submit(self, items: Sequence[Prepared], *, settings: Queue, memory_is_high: bool, limits: Limits) -> Any:
        """Put items into the queue with one script; return its reply to each, for `read_item`.

        `settings` hold the bulk lanes' limits. Raises RedisFull.
        """
        command = submit_command(*items, settings=settings, memory_is_high=memory_is_high, limits=limits)
        try:
            if not memory_is_high:
                await stage_all(self._redis, items, settings)
            *replies, _ = await self._redis.call_or_full(*command)
        except OutOfMemoryError:
            raise RedisFull from None
        return replies

    async def has_room(self, opening: Opening, *, entries: int, size: int) -> bool:
        """Tell whether fewer entries, and fewer bytes, wait in a batch's lane, and likewise for their rows."""
        measured = await self._redis.evaluate(Script.MEASURE_LANES, (opening.lane, keys.FINISHED))
        return all(depth <= entries and used < size for depth, used, _ in measured)

    async def close(self, opening: Opening, *, sent: int, skipped: int, skipped_files: Sequence[str] = ()) -> bool:
        """End the upload; return False if Redis has another count of items, having lost its last writes.

        Raises RedisFull, and BatchClosed where it was canceled meanwhile.
        """
        request = opening.request(skipped=skipped, skipped_files=skipped_files)
        try:
            said = await self._redis.evaluate_or_full(
                Script.CLOSE_BATCH, (keys.batch(opening.id),), opening.id, sent, request, bells.record_message()
            )
        except OutOfMemoryError:
            raise RedisFull from None
        if said == [b"again", b"canceled"]:
            raise BatchClosed(id=opening.id)
        return said[0] in (b"closed", b"again")

    async def cancel(self, id: BatchId, *, mode: Literal["user", "broken"]) -> None:
        """Cancel a batch and what waits in its lane; one that has ended stays as it is."""
        lane = (await self._redis.call("HGET", keys.batch(id), "lane") or b"").decode()
        said = await self._redis.evaluate(Script.CANCEL_BATCH, (keys.batch(id),), *cancel_arguments(id, mode))
        if said == b"canceled":
            while await self._redis.evaluate(Script.CANCEL_LANE, (lane,), *cancel_lane_arguments(id)):
                pass  # a part at a time: each holds Redis for about a millisecond

    async def find(self, id: BatchId) -> BatchRecord | None:
        """Return a batch as Redis has it; None where it no longer has it."""
        return batch_records.parse(id, await self._redis.call("HMGET", keys.batch(id), *batch_records.FIELDS))

    async def find_all(self, ids: Sequence[BatchId]) -> list[BatchRecord]:
        """Return those of the batches that are there, in order, with one call."""
        names = tuple(keys.batch(id) for id in ids)
        found = await self._redis.evaluate(Script.READ_HASHES, names, *batch_records.FIELDS)
        records = (batch_records.parse(id, reply) for id, reply in zip(ids, found, strict=True))
        return [record for record in records if record is not None]

    async def unended(self, owner: Owner) -> list[BatchId]:
        """Return an owner's newest MOST_UNENDED batches that have not ended, newest first."""
        found = await self._redis.call("ZREVRANGE", keys.batches(owner), 0, MOST_UNENDED - 1)
        return sorted((BatchId(id.decode()) for id in found), reverse=True)
