"""Accepting one bulk upload: open the batch, enqueue its images as they arrive, close it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import orjson
from fastapi import Request

from api.batches.bodies import read_batch_body
from api.batches.lookup import canceled_meanwhile
from api.batches.writer import BatchWriter
from api.edge.auth import caller
from api.http.request_facts import request_id, trace_of
from api.http.request_headers import read_idempotency_key
from api.state.asked_models import NO_DIGEST, Asked, asked_models
from api.state.body_memory import BULK_BASE, MemoryHold
from api.state.gateway import base_url, gateway
from api.uploads.submission_fields import SubmissionFields, asked_model
from shared.domain.errors import DarkroomError
from shared.domain.identifiers import BatchId, PredictionId, new_uuid7
from shared.observability.logs import bind
from shared.queue.producer.batches import Opening
from shared.queue.producer.submission import BatchClosed

LONGEST_DRAIN: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch that was accepted, and the ids of its images in upload order.

    Of an earlier batch under the same idempotency key they are not known: None. Of a batch with more images than are
    waited for they are the first MOST_WAITED + 1.
    """

    id: BatchId
    items: Sequence[PredictionId] | None


async def accept_upload(request: Request) -> Accepted:
    """Read and enqueue one bulk upload; return its batch, or an earlier one of the same idempotency key.

    Raises the contract's errors; the batch is then canceled.
    """
    chunks = request.stream()
    try:
        with gateway(request).body_memory.hold(caller(request).owner) as hold:
            hold.take(BULK_BASE)
            body = read_batch_body(request, chunks, hold)
            async with _batch(request, await body.fields(), hold) as writer:
                async for item in body.items():
                    await writer.add(item)
                await writer.close(skipped=body.skipped)
                return Accepted(writer.id, writer.first_items)
    except _KnownBatch as early:
        await _drain(chunks)
        return Accepted(early.id, None)
    except BatchClosed as closed:
        await _drain(chunks)
        return Accepted(await canceled_meanwhile(gateway(request), BatchId(closed.id)), None)
    except DarkroomError:
        await _drain(chunks)
        raise


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read and drop the rest of the body: a client that is answered while it sends may never see the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_DRAIN.total_seconds()):
            async for _ in chunks:
                pass


class _KnownBatch(Exception):
    """The idempotency key belongs to an earlier batch."""

    def __init__(self, id: BatchId) -> None:
        self.id = id


@contextlib.asynccontextmanager
async def _batch(request: Request, fields: SubmissionFields, hold: MemoryHold) -> AsyncIterator[BatchWriter]:
    """Open a batch, which is canceled where the context fails; raises _KnownBatch."""
    gate = gateway(request)
    reference = asked_model(fields.model, fields.version)
    asked = await asked_models(gate.models, reference, fields.pipeline)
    bind(model=asked.model)
    asked.choose(NO_DIGEST)  # raises for an alias or version that is not served
    opening = _opening(request, fields, asked)
    id = await gate.producer.batches.open(opening)
    bind(batch_id=id)
    if id != opening.id:
        raise _KnownBatch(id)
    limits = caller(request).limits
    async with BatchWriter(gate, opening, asked=asked, hold=hold, limits=limits) as writer:
        yield writer


def _opening(request: Request, fields: SubmissionFields, asked: Asked) -> Opening:
    """Return the facts a batch is opened with. A repeated request is known by its parameters and length."""
    key = request.headers.get("idempotency-key")
    webhook = fields.webhook.as_json() if fields.webhook else None
    same = [asked.as_asked(), fields.metadata, request.headers.get("content-length"), webhook]
    return Opening(
        id=BatchId(new_uuid7()),
        owner=caller(request).owner,
        model=asked.model,
        lane_model=asked.lane_model,
        metadata=fields.metadata,
        base_url=base_url(request),
        idempotency_key="" if key is None else read_idempotency_key(key),
        fingerprint="" if key is None else orjson.dumps(same, option=orjson.OPT_SORT_KEYS).decode(),
        webhook=fields.webhook,
        request_id=request_id(request),
        trace=trace_of(request.scope),
    )
