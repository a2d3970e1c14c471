"""A bulk upload in Redis: opened, tended while it is read, closed or canceled; its items are jobs like any other.

While a batch is `validating`, its gateway gives a sign of life every few seconds; a batch whose gateway has died is
canceled by the sweep. Its counters are the record's: here only how many items were accepted is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

import orjson
import redis

from shared.domain.errors import IdempotencyMismatch, UploadInProgress
from shared.domain.identifiers import BatchId, ModelName, Owner
from shared.domain.webhooks import Webhook
from shared.queue import bells, keys
from shared.queue.connection.exchange import Command
from shared.queue.connection.pipeline import Pipeline
from shared.queue.lua import Script, Scripts

# One call of cancel_lane holds Redis for about a millisecond.
CANCEL_ENTRIES: Final = 200
CANCEL_BYTES: Final = 1024 * 1024

_FIELDS: Final = ("state", "owner", "request", "created", "total")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What is known of a bulk upload when it begins; `fingerprint` is what makes it the same as another."""

    id: BatchId
    owner: Owner
    model: ModelName
    metadata: dict[str, Any]
    base_url: str
    idempotency_key: str = ""
    fingerprint: str = ""
    webhook: Webhook | None = None
    request_id: str | None = None
    """Of the upload, which is every item's."""

    def request(self, *, skipped: int = 0, skipped_files: Sequence[str] = ()) -> bytes:
        """Return what is kept with the batch for good, as JSON."""
        facts = {"model": self.model, "metadata": self.metadata, "base_url": self.base_url}
        webhook = None if self.webhook is None else self.webhook.as_json()
        return orjson.dumps({**facts, "skipped": skipped, "skipped_files": skipped_files, "webhook": webhook})

    @property
    def lane(self) -> str:
        """The lane that its items wait in."""
        return keys.lane(self.model, keys.bulk_lane(self.id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A batch as Redis has it: `state` is validating, in_progress, canceled or ended; `created` in microseconds."""

    id: BatchId
    owner: Owner
    state: str
    total: int
    created: int
    model: ModelName
    metadata: dict[str, Any]
    skipped: int
    skipped_files: list[str]

    @property
    def lane(self) -> str:
        """The lane that its items wait in."""
        return keys.lane(self.model, keys.bulk_lane(self.id))


async def open_batch(redis: Pipeline, opening: Opening) -> BatchId:
    """Open the batch and return its id, or that of the one that came before under the same key.

    Raises UploadInProgress while that one is still being read, and IdempotencyMismatch where it was another request.
    """
    key = opening.idempotency_key
    idempotency = keys.idempotency(opening.owner, key) if key else ""
    names = (keys.batch(opening.id), idempotency, keys.batches(opening.owner))
    said, first = await redis.evaluate(
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


async def tend(redis: Pipeline, id: BatchId) -> bool:
    """Give a sign of life; return whether the batch still takes items."""
    return bool(await redis.evaluate(Script.TEND_BATCH, (keys.batch(id),), id) == b"validating")


async def close(
    redis: Pipeline, opening: Opening, *, sent: int, skipped: int, skipped_files: Sequence[str] = ()
) -> bool:
    """Say that all has been read; return False where Redis has another count, having lost its last writes.

    A batch that was canceled meanwhile stays so.
    """
    said = await redis.evaluate(
        Script.CLOSE_BATCH,
        (keys.batch(opening.id),),
        opening.id,
        sent,
        opening.request(skipped=skipped, skipped_files=skipped_files),
        bells.record_message(),
    )
    return said[0] in (b"closed", b"again")


async def cancel(redis: Pipeline, id: BatchId, *, lane: str, mode: Literal["user", "broken"]) -> None:
    """Cancel a batch and what waits in its lane; one that has ended stays as it is."""
    said = await redis.evaluate(Script.CANCEL_BATCH, (keys.batch(id),), *_cancel_arguments(id, mode))
    while said == b"canceled" and await redis.evaluate(Script.CANCEL_LANE, (lane,), *_lane_arguments(id)):
        pass


def read_command(id: BatchId) -> Command:
    """Return the command whose reply `parse` reads."""
    return ("HMGET", keys.batch(id), *_FIELDS)


async def read_batches(redis: Pipeline, ids: Sequence[BatchId]) -> list[Look]:
    """Return those of the batches that are there, in order, with one call."""
    found = await redis.evaluate(Script.READ_HASHES, tuple(keys.batch(id) for id in ids), *_FIELDS)
    looks = (parse(id, reply) for id, reply in zip(ids, found, strict=True))
    return [look for look in looks if look is not None]


def parse(id: BatchId, reply: list[bytes | None]) -> Look | None:
    """Return the batch, or None where the hash is missing."""
    state, owner, request, created, total = reply
    if state is None or owner is None or request is None or created is None:
        return None
    facts = orjson.loads(request)
    return Look(
        id=id,
        owner=Owner(owner.decode()),
        state=state.decode(),
        total=int(total or 0),
        created=int(created),
        model=ModelName(facts["model"]),
        metadata=facts["metadata"],
        skipped=facts["skipped"],
        # Batches of the version before have no names.
        skipped_files=facts.get("skipped_files", []),
    )


class SilentUploads:
    """What the sweep does about batches whose gateway is gone. Every part may run twice, and by two at once."""

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
    said: bytes = scripts.run(Script.CANCEL_BATCH, (keys.batch(id),), *_cancel_arguments(id, mode, lease=lease))
    while said == b"canceled" and scripts.run(Script.CANCEL_LANE, (lane,), *_lane_arguments(id)):
        pass
    return said


def _cancel_arguments(id: BatchId, mode: str, *, lease: int = 0) -> tuple[str | int | bytes, ...]:
    return (id, mode, lease, bells.record_message())


def _lane_arguments(id: BatchId) -> tuple[str | int | bytes, ...]:
    return (id, bells.record_message(), CANCEL_ENTRIES, CANCEL_BYTES)
