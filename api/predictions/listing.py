"""Lists an owner's predictions, newest first: those not yet recorded from Redis, the others from Postgres."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

import orjson
from sqlalchemy import Connection

from api.state.gateway import Gateway
from api.state.postgres_pages import PIECE, read_piece, rows_of_piece
from shared.domain.identifiers import Owner, PredictionId, first_uuid7
from shared.domain.job import Job
from shared.domain.prediction_filter import PredictionFilter
from shared.storage import predictions
from shared.storage.metadata_search import MetadataSearch

# Read at a time for one page: an owner with a million unfinished jobs must not hold up the gateway.
MOST_UNFINISHED = 2000
MOST_UNRECORDED = 2048
MOST_BYTES: Final = 32 * 1024 * 1024
"""A page is not continued beyond this size: a thousand masks would be a gigabyte."""
LONGEST_SEARCH: Final = timedelta(seconds=2)
"""A page goes out with what was found by then: a filter may match few of ten million rows."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A prediction on a list; `written` is what is sent of it."""

    id: PredictionId
    written: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Some predictions, newest first. `after`: the next page holds those before this id; None on the last page.

    A page may have fewer than were asked for, or none, and yet a next one: where few of many rows match.
    """

    found: list[Listed]
    after: PredictionId | None


Write = Callable[[Job], bytes]
"""Return what is sent of a prediction."""


async def list_predictions(
    gate: Gateway,
    *,
    owner: Owner,
    wanted: PredictionFilter,
    before: PredictionId | None,
    limit: int,
    write: Write,
    pool: ThreadPoolExecutor | None = None,
) -> Page:
    """Return up to `limit` predictions, newest first; raises StorageUnavailable.

    Looks for matching rows no longer than LONGEST_SEARCH, of which a piece at least.

    Redis is read before Postgres: a job recorded in between is then seen twice, not missed.
    """
    if wanted.finds_nothing:
        return Page([], None)
    # One more than asked for tells whether there is a next page.
    in_redis, lowest = await _in_redis(gate, owner=owner, wanted=wanted, before=before, limit=limit + 1)
    found = {job.id: Listed(job.id, write(job)) for job in in_redis}
    ask = partial(_recorded, owner=owner, wanted=wanted, write=write, search=MetadataSearch())
    rows, until = await _search(gate, owner, ask, before=before, limit=limit + 1, pool=pool)
    found |= {row.id: row for row in rows}
    # What is older was not read in both stores: it belongs on the next page.
    until = max((id for id in (until, lowest) if id is not None), default=None)
    newest = sorted((id for id in found if until is None or id >= until), reverse=True)
    after = newest[limit - 1] if len(newest) > limit else until
    return Page([found[id] for id in newest[:limit]], after)


Recorded = tuple[list[Listed], PredictionId | None]


async def _search(
    gate: Gateway,
    owner: Owner,
    ask: Callable[..., Recorded],
    *,
    before: PredictionId | None,
    limit: int,
    pool: ThreadPoolExecutor | None,
) -> Recorded:
    """Return up to `limit` recorded predictions, and the last id that was read; None where that was the end."""
    found: list[Listed] = []
    size = 0
    until = asyncio.get_running_loop().time() + LONGEST_SEARCH.total_seconds()
    while True:
        most = rows_of_piece(rows=len(found), size=size)
        of_piece = partial(ask, before=before, limit=min(most, limit - len(found)))
        rows, before = await read_piece(gate, owner, of_piece, pool=pool)
        found += rows
        size += sum(len(row.written) for row in rows)
        if before is None or len(found) >= limit or size >= MOST_BYTES or asyncio.get_running_loop().time() >= until:
            return found, before


async def _in_redis(
    gate: Gateway, *, owner: Owner, wanted: PredictionFilter, before: PredictionId | None, limit: int
) -> tuple[list[Job], PredictionId | None]:
    """Return the newest `limit` jobs whose rows may not exist yet and that belong on the list.

    And the id below which none were read; None where all were.
    """
    ids, lowest = set[str](), None
    if wanted.may_be_unfinished:
        ids, lowest = await _unfinished(gate, owner, wanted.highest_id(before), before=before)
    ids |= await gate.producer.jobs.unrecorded(owner, most=MOST_UNRECORDED)
    on_page = (id for id in ids if (before is None or id < before) and (lowest is None or id >= lowest))
    newest = sorted(on_page, reverse=True)
    found: list[Job] = []
    for first in range(0, len(newest), PIECE):
        some = [PredictionId(id) for id in newest[first : first + PIECE]]
        jobs = await gate.producer.jobs.find_all(some)
        found += [job for job in jobs if job.owner == owner and _admits(wanted, job)]
        if len(found) >= limit:
            break
    return found[:limit], lowest


async def _unfinished(
    gate: Gateway, owner: Owner, highest: PredictionId | None, *, before: PredictionId | None
) -> tuple[set[str], PredictionId | None]:
    """Return ids of unfinished jobs, the newest below `highest` among them, and the id below which none were read."""
    until = None
    if highest:
        # The first 48 bits of a UUIDv7 are its milliseconds; a second more for clocks that differ.
        until = (int(highest.replace("-", "")[:12], 16) + 1000) * 1000
    ids: set[str] = set()
    while True:
        some = await gate.producer.jobs.unfinished(owner, until=until, most=MOST_UNFINISHED)
        ids |= {id for id, _ in some}
        if len(some) < MOST_UNFINISHED:
            return ids, None
        oldest = some[-1][1]
        # What came before that has an id of a second later at most.
        lowest = PredictionId(first_uuid7(oldest // 1000 + 1000))
        if before is None or lowest < before:
            return ids, lowest
        until = oldest if oldest != until else oldest - 1


def _admits(wanted: PredictionFilter, job: Job) -> bool:
    return wanted.admits(job, confidence=_confidence(job.output) if wanted.asks_confidence else None)


def _confidence(output: Any) -> float | None:
    """Return an output's confidence; None where it has none."""
    value = orjson.loads(orjson.dumps(output))  # it may be a fragment of JSON
    found = value.get("confidence") if isinstance(value, dict) else None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _recorded(
    connection: Connection,
    *,
    owner: Owner,
    wanted: PredictionFilter,
    before: PredictionId | None,
    limit: int,
    write: Write,
    search: MetadataSearch,
) -> Recorded:
    rows, after = predictions.list_predictions(connection, owner, wanted, before=before, limit=limit, search=search)
    return [Listed(row.id, write(row.job())) for row in rows], after
