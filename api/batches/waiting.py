"""Answering a bulk upload with all of its results, for clients that ask for it with `Prefer: wait`.

Nothing but the images' ids is kept while a request waits; results are read when the last image has ended.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

import orjson

from api.batches.lookup import find_batch
from api.batches.upload import Accepted
from api.batches.writer import MOST_WAITED
from api.http.result_formats import item_row, result_object
from api.state.gateway import Gateway
from api.state.job_waiters import FALLBACK, wait_for_events
from api.state.open_streams import POLL
from api.state.postgres import ask_postgres
from api.state.postgres_pages import PIECE, read_piece
from shared.domain.batch import Batch, BatchStatus
from shared.domain.errors import StorageUnavailable
from shared.domain.identifiers import PredictionId
from shared.domain.prediction import Status
from shared.storage import batches as storage
from shared.storage import predictions

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of results in one answer. More are read from the batch's own URL, which takes the memory of one piece."""


@dataclass(frozen=True, slots=True)
class Waited:
    """A batch that has ended, and its results as JSON, in upload order."""

    batch: Batch
    results: list[orjson.Fragment]


class _CannotBeSent(Exception):
    """The results are over MOST_BYTES, or one of them is in neither store."""


def is_small(accepted: Accepted, batch: Batch) -> bool:
    """Tell whether a batch has so few images that its upload may wait for their results."""
    return (batch.total if accepted.items is None else len(accepted.items)) <= MOST_WAITED


async def wait_for_results(
    gate: Gateway, accepted: Accepted, batch: Batch, *, deadline: float, base_url: str
) -> Waited | None:
    """Return the results of a small batch once its last image has ended.

    None where that is not before `deadline`, by the event loop's clock; or where the gateway stops, the results are
    over MOST_BYTES, or a store is away.
    """
    try:
        if accepted.items is None:
            return await _of_earlier_batch(gate, batch, deadline=deadline, base_url=base_url)
        if not await _all_ended(gate, accepted.items, deadline=deadline):
            return None
        return await _read_results(gate, batch, accepted.items, base_url=base_url)
    except (StorageUnavailable, _CannotBeSent):
        return None


async def _all_ended(gate: Gateway, ids: Sequence[PredictionId], *, deadline: float) -> bool:
    """Return True once all have ended, False at `deadline` or when the gateway stops."""
    loop = asyncio.get_running_loop()
    with ExitStack() as listening:
        # Events before states, so that no end is missed.
        events = {id: listening.enter_context(gate.waiters.listen(id)) for id in ids}
        waiting = await _unfinished(gate, ids)
        while waiting:
            left = deadline - loop.time()
            if left <= 0 or gate.draining.is_over:
                return False
            await wait_for_events([events[id] for id in waiting], min(FALLBACK, timedelta(seconds=left)))
            waiting = await _unfinished(gate, waiting)
    return True


async def _unfinished(gate: Gateway, ids: Sequence[PredictionId]) -> list[PredictionId]:
    """Return those that have not ended, in order; what Redis no longer has is recorded."""
    found: list[PredictionId] = []
    for first in range(0, len(ids), PIECE):
        jobs = await gate.producer.jobs.find_all(ids[first : first + PIECE])
        found += [job.id for job in jobs if not job.status.is_terminal]
    return found


async def _read_results(gate: Gateway, batch: Batch, ids: Sequence[PredictionId], *, base_url: str) -> Waited:
    """Return the results of images that have ended, from Redis, where it no longer has them from Postgres."""
    written, counts, completed = _Written(), Counter[Status](), 0
    for first in range(0, len(ids), PIECE):
        some = ids[first : first + PIECE]
        jobs = {job.id: job for job in await gate.producer.jobs.find_all(some)}
        recorded = [id for id in some if id not in jobs]
        if recorded:
            rows = await ask_postgres(gate, partial(predictions.find_predictions, ids=recorded))
            jobs |= {row.id: row.job() for row in rows}
        for id in some:
            job = jobs.get(id)
            if job is None or job.completed is None:
                raise _CannotBeSent
            written.add(result_object(item_row(job), base_url=base_url))
            counts[job.status] += 1
            completed = max(completed, job.completed)
    if counts[Status.CANCELED]:  # the batch, or single images of it
        batch = await find_batch(gate, batch.id, owner=batch.owner)
    return Waited(
        replace(
            batch,
            status=BatchStatus.CANCELED if batch.status is BatchStatus.CANCELED else BatchStatus.COMPLETED,
            total=len(ids),
            succeeded=counts[Status.SUCCEEDED],
            failed=counts[Status.FAILED],
            canceled=counts[Status.CANCELED],
            completed=batch.completed or completed,
            counted=True,
        ),
        written.results,
    )


async def _of_earlier_batch(gate: Gateway, batch: Batch, *, deadline: float, base_url: str) -> Waited | None:
    """Return the results of a batch that an earlier request made, once it has ended; they are all recorded then."""
    loop = asyncio.get_running_loop()
    while not batch.has_ended:
        left = deadline - loop.time()
        if left <= 0 or gate.draining.is_over:
            return None
        await asyncio.sleep(min(POLL.total_seconds(), left))
        batch = await find_batch(gate, batch.id, owner=batch.owner)
    written, after = _Written(), None
    while True:
        ask = partial(storage.list_items, batch=batch.id, after=after, limit=PIECE)
        rows = await read_piece(gate, batch.owner, ask)
        for row in rows:
            written.add(result_object(row, base_url=base_url))
        if len(rows) < PIECE:
            return Waited(batch, written.results)
        after = rows[-1].id


class _Written:
    """Results as JSON, MOST_BYTES at most."""

    def __init__(self) -> None:
        self.results: list[orjson.Fragment] = []
        self._size = 0

    def add(self, result: dict[str, Any]) -> None:
        """Add a result; raises _CannotBeSent."""
        text = orjson.dumps(result)
        self._size += len(text)
        if self._size > MOST_BYTES:
            raise _CannotBeSent
        self.results.append(orjson.Fragment(text))
