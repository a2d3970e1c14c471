"""Lists an owner's predictions, newest first: those not yet recorded from Redis, the others from Postgres."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection

from api.state.gateway import Gateway
from api.state.postgres_pages import PIECE, read_rows
from shared.domain.identifiers import BatchId, ModelName, Owner, PredictionId, is_uuid
from shared.domain.job import Job
from shared.domain.prediction import Status
from shared.storage import predictions

# Read at most for one page: an owner with a million unfinished jobs must not hold up the gateway.
MOST_UNFINISHED = 2000
MOST_UNRECORDED = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which predictions to list; `before` is the last id of the page before."""

    before: PredictionId | None = None
    model: str | None = None
    status: Status | None = None
    batch_id: str | None = None

    @property
    def finds_nothing(self) -> bool:
        """Whether no prediction can match: values that Postgres would refuse with an error."""
        return (self.batch_id is not None and not is_uuid(self.batch_id)) or "\0" in (self.model or "")

    def admits(self, job: Job) -> bool:
        """Tell whether a job belongs on the list."""
        return (
            (self.before is None or job.id < self.before)
            and (self.model is None or job.request.model == self.model)
            and (self.status is None or job.status == self.status)
            and (self.batch_id is None or job.batch == self.batch_id)
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """A prediction on a list; `written` is its JSON."""

    id: PredictionId
    written: orjson.Fragment


Write = Callable[[Job], Any]
"""Return a prediction's object."""


async def list_predictions(gate: Gateway, *, owner: Owner, wanted: Filter, limit: int, write: Write) -> list[Listed]:
    """Return up to `limit` predictions, newest first; raises StorageUnavailable. It costs what it returns.

    Redis is read before Postgres: a job recorded in between is then seen twice, not missed.
    """
    if wanted.finds_nothing:
        return []
    found = {job.id: _listed(job, write) for job in await _in_redis(gate, owner=owner, wanted=wanted, limit=limit)}
    ask = partial(_recorded, owner=owner, wanted=wanted, write=write)
    rows = await read_rows(gate, owner, ask, before=wanted.before, limit=limit)
    found |= {row.id: row for row in rows}
    return sorted(found.values(), key=lambda listed: listed.id, reverse=True)[:limit]


async def _in_redis(gate: Gateway, *, owner: Owner, wanted: Filter, limit: int) -> list[Job]:
    """Return the newest `limit` jobs whose rows may not exist yet and that belong on the list."""
    until = None
    if wanted.before:
        # The first 48 bits of a UUIDv7 are its milliseconds; a second more for clocks that differ.
        until = (int(wanted.before.replace("-", "")[:12], 16) + 1000) * 1000
    jobs = gate.producer.jobs
    ids = await jobs.unfinished(owner, until=until, most=MOST_UNFINISHED)
    ids |= await jobs.unrecorded(owner, most=MOST_UNRECORDED)
    newest = sorted((id for id in ids if wanted.before is None or id < wanted.before), reverse=True)
    found: list[Job] = []
    for first in range(0, len(newest), PIECE):
        some = [PredictionId(id) for id in newest[first : first + PIECE]]
        found += [job for job in await jobs.find_all(some) if job.owner == owner and wanted.admits(job)]
        if len(found) >= limit:
            break
    return found[:limit]


def _recorded(
    connection: Connection, *, owner: Owner, wanted: Filter, before: PredictionId | None, limit: int, write: Write
) -> list[Listed]:
    rows = predictions.list_predictions(
        connection,
        owner,
        before=before,
        limit=limit,
        model=ModelName(wanted.model) if wanted.model else None,
        status=wanted.status,
        batch_id=BatchId(wanted.batch_id) if wanted.batch_id else None,
    )
    return [_listed(row.job(), write) for row in rows]


def _listed(job: Job, write: Write) -> Listed:
    return Listed(job.id, orjson.Fragment(orjson.dumps(write(job))))
