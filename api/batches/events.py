"""Server-sent events of one batch: `progress` with its counts, then `done`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from api.batches.lookup import find_batch
from api.http.event_stream import KEEPALIVE
from api.state.gateway import Gateway
from api.state.open_streams import POLL
from shared.domain.batch import Batch, BatchStatus
from shared.domain.errors import StorageUnavailable
from shared.domain.timestamps import now_us
from shared.presentation.objects import item_counts, progress_members


def told_everything(batch: Batch, *, last_event: str) -> bool:
    """Tell whether a client with this `Last-Event-ID` has read the whole stream."""
    return batch.has_ended and last_event == _mark(batch)


async def batch_events(gate: Gateway, batch: Batch) -> AsyncIterator[bytes]:
    """Yield the counts whenever they change, the end, and a comment every 15 s of silence.

    An event's id is made of its content. When the gateway stops, the stream ends without `done`: the client reconnects
    to another gateway.
    """
    told, silent, unread = "", timedelta(0), timedelta(0)
    with gate.open_streams.one_more(batch.owner):
        while True:
            if (mark := _mark(batch)) != told:
                told, silent = mark, timedelta(0)
                progress = {
                    "status": batch.status,
                    "request_counts": item_counts(batch),
                    "errors": batch.errors,
                    **progress_members(batch, now=now_us()),
                }
                yield format_sse_event(event="progress", data_str=orjson.dumps(progress).decode(), id=mark)
            if batch.has_ended:
                done = {"reason": "canceled"} if batch.status is BatchStatus.CANCELED else {}
                yield format_sse_event(event="done", data_str=orjson.dumps(done).decode(), id=mark)
                return
            if gate.draining.is_over:
                return
            await asyncio.sleep(POLL.total_seconds())
            silent, unread = silent + POLL, unread + POLL
            if silent >= KEEPALIVE:
                silent = timedelta(0)
                yield KEEPALIVE_COMMENT
            if unread >= gate.open_streams.pause(batch.owner):
                unread = timedelta(0)
                batch = await _refresh(gate, batch)


async def _refresh(gate: Gateway, batch: Batch) -> Batch:
    """Return the batch as it is now, or as it was while a store is away."""
    try:
        found = await find_batch(gate, batch.id, owner=batch.owner)
    except StorageUnavailable:
        return batch
    return found if found.counted else batch


def _mark(batch: Batch) -> str:
    """Return the id of an event with the batch's present state and counts."""
    return "-".join([batch.status, *map(str, item_counts(batch).values()), "ended" if batch.has_ended else "runs"])
