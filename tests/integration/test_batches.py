"""A bulk upload's batch in Redis: which items it accepts, how it ends, and how sweeps cancel a dead gateway's."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import orjson
import pytest

from shared.domain.errors import IdempotencyMismatch, UploadInProgress
from shared.domain.identifiers import ANYONE, BatchId, Digest, PredictionId, VersionKey, VersionNumber, new_uuid7
from shared.domain.image import ImageFacts
from shared.domain.model_route import Choice
from shared.queue import keys
from shared.queue.batch_records import CANCEL_ENTRIES
from shared.queue.connection.pipeline import Pipeline
from shared.queue.producer.batches import Batches, Opening
from shared.queue.producer.submission import (
    Answer,
    BatchClosed,
    Known,
    Queued,
    Submission,
    Unreadable,
    prepared,
    read_answer,
    read_item,
    submit_command,
)
from shared.queue.upkeep.silent_uploads import SilentUploads
from shared.settings import Queue
from tests.support.queue_system import MODEL, System

T = TypeVar("T")
CHOICE = Choice(model=MODEL, version=VersionNumber("3"), key=VersionKey("3-m-1"), variant="champion")
NOW = timedelta(0)


Piped = Callable[[Callable[[Pipeline], Awaitable[object]]], object]


def an_opening(*, key: str = "", fingerprint: str = "f") -> Opening:
    return Opening(
        id=BatchId(new_uuid7()),
        owner=ANYONE,
        model=MODEL,
        metadata={"who": "tests"},
        base_url="http://here",
        idempotency_key=key,
        fingerprint=fingerprint,
    )


async def send(pipeline: Pipeline, opening: Opening, image: bytes, *, id: str = "") -> Answer:
    """Submit one image of the batch."""
    facts = ImageFacts(
        sha256=Digest(hashlib.sha256(image).hexdigest()),
        format="PNG",
        width=1,
        height=1,
        bytes=len(image),
        filename=None,
    )
    submission = Submission(
        id=PredictionId(id or new_uuid7()), owner=ANYONE, choice=CHOICE, image=image, facts=facts, metadata={},
        base_url="", lane=keys.bulk_lane(opening.id), batch=opening.id, custom_id=image.decode(),
    )  # fmt: skip
    job = prepared(submission)
    reply, _ = await pipeline.call(*submit_command(job, settings=Queue(), memory_is_high=False))
    return read_answer(reply, submission)


async def send_broken(pipeline: Pipeline, opening: Opening, *, id: str = "") -> None:
    """Submit an item that is no image."""
    item = Unreadable(
        id=PredictionId(id or new_uuid7()), owner=ANYONE, choice=CHOICE, lane=keys.bulk_lane(opening.id),
        batch=opening.id, custom_id="notes.txt", filename="notes.txt", size=4, sha256=None, error="this is text",
    )  # fmt: skip
    job = prepared(item)
    reply, _ = await pipeline.call(*submit_command(job, settings=Queue(), memory_is_high=False))
    read_item(reply, item)


def records(client: Any, opening: Opening) -> list[dict[bytes, bytes]]:
    """Return the batch's own records in the finished stream."""
    found = [record for _, record in client.xrange(keys.FINISHED)]
    return [record for record in found if record[b"id"].decode() == opening.id]


def states(client: Any) -> list[str]:
    """Return the states of all jobs."""
    return sorted(client.hget(key, "state").decode() for key in client.scan_iter(match="job:*"))


def test_the_total_counts_accepted_items_however_often_they_were_sent(redis_client: Any, piped: Piped) -> None:
    opening = an_opening()

    async def claim(pipeline: Pipeline) -> None:
        await Batches(pipeline).open(opening)
        id, broken = new_uuid7(), new_uuid7()
        assert isinstance(await send(pipeline, opening, b"a", id=id), Queued)
        assert await send(pipeline, opening, b"a", id=id) == Known(PredictionId(id))
        await send_broken(pipeline, opening, id=broken)
        await send_broken(pipeline, opening, id=broken)
        batch = await Batches(pipeline).find(opening.id)
        assert batch is not None
        assert (batch.state, batch.total, batch.model, batch.metadata) == ("validating", 2, MODEL, {"who": "tests"})
        assert batch.skipped_files == []
        assert await Batches(pipeline).close(opening, sent=2, skipped=7, skipped_files=["labels.csv"])
        assert await Batches(pipeline).close(opening, sent=2, skipped=7, skipped_files=["labels.csv"])
        batch = await Batches(pipeline).find(opening.id)
        assert batch is not None
        assert (batch.skipped, batch.skipped_files) == (7, ["labels.csv"])

    piped(claim)
    (record,) = records(redis_client, opening)
    assert (record[b"state"], record[b"total"]) == (b"in_progress", b"2")
    request = orjson.loads(record[b"request"])
    assert (request["skipped"], request["skipped_files"]) == (7, ["labels.csv"])
    assert not redis_client.exists(keys.UPLOADS)


def test_an_item_that_is_no_image_is_a_failed_prediction_with_its_name(redis_client: Any, piped: Piped) -> None:
    opening = an_opening()

    async def claim(pipeline: Pipeline) -> None:
        await Batches(pipeline).open(opening)
        await send_broken(pipeline, opening)

    piped(claim)
    ((_, record),) = redis_client.xrange(keys.FINISHED)
    assert (record[b"state"], record[b"code"], record[b"error"]) == (b"failed", b"undecodable_image", b"this is text")
    assert record[b"batch"].decode() == opening.id
    assert orjson.loads(record[b"request"])["custom_id"] == "notes.txt"


def test_a_closed_batch_accepts_no_more_items(redis_client: Any, piped: Piped) -> None:
    opening = an_opening()

    async def claim(pipeline: Pipeline) -> None:
        await Batches(pipeline).open(opening)
        await send(pipeline, opening, b"a")
        await Batches(pipeline).close(opening, sent=1, skipped=0)
        with pytest.raises(BatchClosed):
            await send(pipeline, opening, b"b")
        with pytest.raises(BatchClosed):
            await send_broken(pipeline, opening)
        assert not await Batches(pipeline).tend(opening.id)

    piped(claim)
    assert states(redis_client) == ["starting"]


def test_lost_items_of_a_batch_are_detected(redis_client: Any, piped: Piped) -> None:
    opening = an_opening()

    async def claim(pipeline: Pipeline) -> None:
        await Batches(pipeline).open(opening)
        await send(pipeline, opening, b"a")
        assert not await Batches(pipeline).close(opening, sent=2, skipped=0)
        assert await Batches(pipeline).tend(opening.id)

    piped(claim)
    assert records(redis_client, opening) == []


def test_a_key_belongs_to_one_upload(piped: Piped) -> None:
    first, again, other = an_opening(key="k"), an_opening(key="k"), an_opening(key="k", fingerprint="g")

    async def claim(pipeline: Pipeline) -> None:
        assert await Batches(pipeline).open(first) == first.id
        assert await Batches(pipeline).open(first) == first.id
        with pytest.raises(UploadInProgress):
            await Batches(pipeline).open(again)
        with pytest.raises(IdempotencyMismatch):
            await Batches(pipeline).open(other)
        await send(pipeline, first, b"a")
        await Batches(pipeline).close(first, sent=1, skipped=0)
        assert await Batches(pipeline).open(again) == first.id

    piped(claim)


def test_canceling_ends_waiting_and_processing_items(system: System, redis_client: Any, piped: Piped) -> None:
    opening = an_opening()

    async def fill(pipeline: Pipeline) -> None:
        await Batches(pipeline).open(opening)
        for number in range(2 * CANCEL_ENTRIES + 5):
            await send(pipeline, opening, b"%d" % (number // 2))
        await Batches(pipeline).close(opening, sent=2 * CANCEL_ENTRIES + 5, skipped=0)

    piped(fill)
    in_hand = system.lanes.begin(system.lanes.pull(8).entries)
    piped(lambda pipeline: Batches(pipeline).cancel(opening.id, mode="user"))
    assert set(states(redis_client)) == {"canceled"}
    assert [record[b"state"] for record in records(redis_client, opening)] == [b"in_progress", b"canceled"]
    assert redis_client.xlen(opening.lane) == 0
    assert not redis_client.exists(keys.UPLOADS, keys.inflight(ANYONE))
    assert list(redis_client.scan_iter(match="waiting:*")) == []
    assert len(in_hand) == 8


def test_an_interrupted_upload_without_items_only_frees_its_key(redis_client: Any, piped: Piped) -> None:
    opening, next_try = an_opening(key="k"), an_opening(key="k")

    async def claim(pipeline: Pipeline) -> None:
        await Batches(pipeline).open(opening)
        await Batches(pipeline).cancel(opening.id, mode="broken")
        assert list(redis_client.scan_iter()) == []
        assert await Batches(pipeline).open(next_try) == next_try.id

    piped(claim)


def test_an_interrupted_upload_is_canceled_and_its_key_freed(redis_client: Any, piped: Piped) -> None:
    opening, next_try = an_opening(key="k"), an_opening(key="k")

    async def claim(pipeline: Pipeline) -> None:
        await Batches(pipeline).open(opening)
        await send(pipeline, opening, b"a")
        for _ in range(2):
            await Batches(pipeline).cancel(opening.id, mode="broken")
        assert await Batches(pipeline).open(next_try) == next_try.id

    piped(claim)
    assert states(redis_client) == ["canceled"]
    assert [(r[b"state"], r[b"total"]) for r in records(redis_client, opening)] == [(b"canceled", b"1")]


def test_a_completely_read_upload_cannot_be_interrupted(redis_client: Any, piped: Piped) -> None:
    opening = an_opening(key="k")

    async def claim(pipeline: Pipeline) -> None:
        await Batches(pipeline).open(opening)
        await send(pipeline, opening, b"a")
        await Batches(pipeline).close(opening, sent=1, skipped=0)
        await Batches(pipeline).cancel(opening.id, mode="broken")

    piped(claim)
    assert states(redis_client) == ["starting"]


def test_the_sweep_cancels_uploads_whose_gateway_is_dead(redis_client: Any, piped: Piped) -> None:
    silent, tended = an_opening(key="k"), an_opening()

    async def fill(pipeline: Pipeline) -> None:
        for opening in (silent, tended):
            await Batches(pipeline).open(opening)
            await send(pipeline, opening, opening.id.encode())

    piped(fill)
    redis_client.zadd(keys.UPLOADS, {silent.id: 1})
    seconds, _ = redis_client.time()
    sweep = SilentUploads(redis_client, lease=timedelta(seconds=30))
    assert [sweep.cancel(seconds * 1_000_000, most=10) for _ in range(2)] == [1, 0]
    assert states(redis_client) == ["canceled", "starting"]
    assert [record[b"state"] for record in records(redis_client, silent)] == [b"canceled"]
    assert not redis_client.exists(keys.idempotency(ANYONE, "k"))


def test_the_sweep_finishes_an_interrupted_cancellation(redis_client: Any, piped: Piped) -> None:
    opening = an_opening()

    async def fill(pipeline: Pipeline) -> None:
        await Batches(pipeline).open(opening)
        await send(pipeline, opening, b"a")

    piped(fill)
    # As the script leaves it when the gateway dies before the first call of cancel_lane.
    redis_client.hset(keys.batch(opening.id), "state", "canceled")
    redis_client.zadd(keys.UPLOADS, {opening.id: 1})
    seconds, _ = redis_client.time()
    assert SilentUploads(redis_client, lease=timedelta(seconds=30)).cancel(seconds * 1_000_000, most=10) == 1
    assert states(redis_client) == ["canceled"]
    assert not redis_client.exists(keys.UPLOADS)
