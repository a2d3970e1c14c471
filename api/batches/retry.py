"""Retry a batch: its failed images as a new batch, as if they had been uploaded again.

Their images are read where the queue keeps those of failures; one that is no longer kept is left out, and is in the
new batch's `skipped_files`. Killed at any line, the new batch is canceled by the sweep, like an upload that breaks off:
nothing of it remains half done, and the batch that is retried never changes. With an Idempotency-Key the same request
again answers with the same batch.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Final

import orjson
from fastapi import Request

from api.batches.archives.items import Item, Skipped
from api.batches.lookup import canceled_meanwhile, find_batch
from api.batches.writer import BatchWriter
from api.edge.auth import caller
from api.http.request_facts import note_earlier_trace, request_id, trace_of
from api.http.request_headers import read_idempotency_key
from api.state.asked_models import NO_DIGEST, Asked, models_asked_again
from api.state.body_memory import BULK_BASE
from api.state.gateway import Gateway, base_url, gateway
from api.state.postgres import ask_postgres
from shared.domain.batch import Batch
from shared.domain.errors import ImageGone, NothingFailed, StorageUnavailable
from shared.domain.identifiers import BatchId, new_uuid7
from shared.domain.webhooks import Webhook
from shared.observability.logs import bind
from shared.queue.producer.batches import Opening
from shared.queue.producer.submission import BatchClosed
from shared.storage import batches as storage
from shared.storage.batches import FailedItem

PIECE: Final = 500
"""Failed items that are read at a time."""


async def retry_batch(request: Request, id: BatchId) -> BatchId:
    """Enqueue the failed images of the caller's batch; return the new batch, or that of the same idempotency key.

    Raises UnknownBatch, NothingFailed, ImageGone, and what an upload raises; the new batch is then canceled.
    """
    gate, who = gateway(request), caller(request)
    batch = await find_batch(gate, id, owner=who.owner)
    if not batch.counted:
        raise StorageUnavailable(store="postgres", retry_after=timedelta(seconds=2))
    if not batch.has_ended or not batch.failed:
        raise NothingFailed(kind="batch", id=id, state=batch.status)
    with gate.body_memory.hold(who.owner) as hold:
        hold.take(BULK_BASE)
        asked, webhook, earlier_trace = await _asked(gate, batch)
        note_earlier_trace(request.scope, earlier_trace)
        bind(model=asked.model)
        asked.choose(NO_DIGEST)  # raises for an alias or version that is not served
        opening = _opening(request, batch, asked, webhook)
        first = await gate.producer.batches.open(opening)
        if first != opening.id:
            return first
        bind(batch_id=first)
        try:
            async with BatchWriter(gate, opening, asked=asked, hold=hold, limits=who.limits) as writer:
                await _write(gate, batch, writer)
        except BatchClosed as closed:
            return await canceled_meanwhile(gate, BatchId(closed.id))
        return first


async def _asked(gate: Gateway, batch: Batch) -> tuple[Asked, Webhook | None, str | None]:
    """Return what the failed images are asked of, the batch's webhook, and the span of its upload kept with that.

    Where one alias or number chose the version of them all, it is asked for again; else the model's traffic split.
    """
    variants, webhook, trace = await ask_postgres(gate, partial(storage.failed_variants, batch=batch.id))
    return await models_asked_again(gate.models, batch.model, variants), webhook, trace


def _opening(request: Request, batch: Batch, asked: Asked, webhook: Webhook | None) -> Opening:
    key = request.headers.get("idempotency-key")
    return Opening(
        id=BatchId(new_uuid7()),
        owner=batch.owner,
        model=asked.model,
        lane_model=asked.lane_model,
        metadata=batch.metadata,
        base_url=base_url(request),
        idempotency_key="" if key is None else read_idempotency_key(key),
        fingerprint="" if key is None else orjson.dumps(["retry", batch.id]).decode(),
        webhook=webhook,
        request_id=request_id(request),
        retry_of=batch.id,
        trace=trace_of(request.scope),
    )


async def _write(gate: Gateway, batch: Batch, writer: BatchWriter) -> None:
    """Enqueue the failed images in upload order; raises ImageGone where none is kept."""
    skipped, written = Skipped(), 0
    async for item in _failed(gate, batch):
        name = item.custom_id or item.id
        image = await gate.producer.jobs.find_failed_image(batch.owner, item.digest) if item.digest else None
        if image is None:
            skipped.add(name)
            continue
        await writer.add(Item(name, image, retry_of=item.id))
        written += 1
    if not written:
        raise ImageGone(kind="batch", id=batch.id)
    await writer.close(skipped=skipped)


async def _failed(gate: Gateway, batch: Batch) -> AsyncIterator[FailedItem]:
    """Yield the failed items, read in pieces; raises StorageUnavailable."""
    after = None
    while True:
        items = await ask_postgres(gate, partial(storage.list_failed, batch=batch.id, after=after, limit=PIECE))
        for item in items:
            yield item
        if len(items) < PIECE:
            return
        after = items[-1].id
