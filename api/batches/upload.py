"""One bulk upload from its first byte to its 202."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

import orjson
from fastapi import Request

from api.batches.bodies import read_batch_body
from api.batches.writer import NO_DIGEST, BatchWriter
from api.edge.auth import caller
from api.http.request_facts import request_id
from api.http.request_headers import read_idempotency_key
from api.state.body_memory import BULK_BASE, MemoryHold
from api.state.gateway import base_url, gateway
from api.uploads.submission_fields import SubmissionFields, asked_model
from shared.domain.errors import DarkroomError
from shared.domain.identifiers import BatchId, new_uuid7
from shared.domain.model_reference import Reference
from shared.domain.model_route import Route
from shared.observability.logs import bind
from shared.queue.producer.batches import Opening
from shared.queue.producer.submission import BatchClosed

LONGEST_DRAIN: Final = timedelta(seconds=30)


async def accept_upload(request: Request) -> BatchId:
    """Read one bulk upload whole and return its batch, or the one that came before under the same key.

    Raises the contract's errors; then nothing stays enqueued.
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
                return writer.id
    except (_Known, BatchClosed) as early:
        await _drain(chunks)
        return BatchId(early.id)
    except DarkroomError:
        await _drain(chunks)
        raise


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the rest for nothing: answered before it has sent everything, a client may never see the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_DRAIN.total_seconds()):
            async for _ in chunks:
                pass


class _Known(Exception):
    """The key belongs to a batch that has been read."""

    def __init__(self, id: BatchId) -> None:
        self.id = id


@contextlib.asynccontextmanager
async def _batch(request: Request, fields: SubmissionFields, hold: MemoryHold) -> AsyncIterator[BatchWriter]:
    """Open a batch; it is canceled where the body of this context fails. Raises _Known."""
    gate = gateway(request)
    reference = asked_model(fields.model, fields.version)
    route = await gate.models.for_reference(reference)
    bind(model=route.model)
    route.choose(reference, digest=NO_DIGEST)  # an alias or version that is not served is refused before anything
    opening = _opening(request, fields, route, reference)
    id = await gate.producer.batches.open(opening)
    bind(batch_id=id)
    if id != opening.id:
        raise _Known(id)
    limits = caller(request).limits
    async with BatchWriter(gate, opening, route=route, reference=reference, hold=hold, limits=limits) as writer:
        yield writer


def _opening(request: Request, fields: SubmissionFields, route: Route, reference: Reference) -> Opening:
    """Return what the batch begins with. The same request again has the same parameters and length."""
    key = request.headers.get("idempotency-key")
    model = [route.model, reference.alias, reference.version]
    webhook = fields.webhook.as_json() if fields.webhook else None
    same = [model, fields.metadata, request.headers.get("content-length"), webhook]
    return Opening(
        id=BatchId(new_uuid7()),
        owner=caller(request).owner,
        model=route.model,
        metadata=fields.metadata,
        base_url=base_url(request),
        idempotency_key="" if key is None else read_idempotency_key(key),
        fingerprint="" if key is None else orjson.dumps(same, option=orjson.OPT_SORT_KEYS).decode(),
        webhook=fields.webhook,
        request_id=request_id(request),
    )
