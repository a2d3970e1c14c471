"""An owner's predictions, newest first: unfinished ones from Redis, those on their way to Postgres, and the record."""

import asyncio
from dataclasses import dataclass

from sqlalchemy import Connection

from api.gateway import Gateway
from api.postgres import ask_postgres
from shared.domain.identifiers import BatchId, ModelName, Owner, PredictionId, is_uuid
from shared.domain.job import Job
from shared.domain.prediction import Status
from shared.queue import keys
from shared.queue.jobs import parse, read_command
from shared.storage import history

# Looked through at most for one page: an owner with a million unfinished jobs must not hold up the gateway.
MOST_UNFINISHED = 2000
MOST_UNRECORDED = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What to list; `before` is the last id of the page before."""

    before: PredictionId | None = None
    model: str | None = None
    status: Status | None = None
    batch_id: str | None = None

    @property
    def finds_nothing(self) -> bool:
        """Whether no prediction can match: values that Postgres would refuse, as a failure of its own."""
        return (self.batch_id is not None and not is_uuid(self.batch_id)) or "\0" in (self.model or "")

    def admits(self, job: Job) -> bool:
        """Tell whether a job belongs on the list."""
        return (
            (self.before is None or job.id < self.before)
            and (self.model is None or job.request["model"] == self.model)
            and (self.status is None or job.status == self.status)
            and (self.batch_id is None or job.batch == self.batch_id)
        )


async def page(gate: Gateway, *, owner: Owner, wanted: Filter, limit: int) -> list[Job]:
    """Return up to `limit` predictions, newest first; raises StorageUnavailable.

    Redis is read before Postgres: a job recorded in between is then seen twice, not missed.
    """
    if wanted.finds_nothing:
        return []
    jobs = {job.id: job for job in await _in_redis(gate, owner=owner, wanted=wanted)}
    for job in await ask_postgres(gate, lambda connection: _recorded(connection, owner, wanted, limit)):
        jobs[job.id] = job
    newest = sorted((job for job in jobs.values() if wanted.admits(job)), key=lambda job: job.id, reverse=True)
    return newest[:limit]


async def _in_redis(gate: Gateway, *, owner: Owner, wanted: Filter) -> list[Job]:
    """Return jobs whose rows may not exist yet."""
    upper = "+inf"
    if wanted.before:
        # The first 48 bits of a UUIDv7 are its milliseconds; a second more for clocks that differ.
        upper = str((int(wanted.before.replace("-", "")[:12], 16) + 1000) * 1000)
    unfinished = await gate.redis.call(
        "ZRANGE", keys.inflight(owner), upper, "-inf", "BYSCORE", "REV", "LIMIT", 0, MOST_UNFINISHED
    )
    unrecorded = await gate.redis.call("XREVRANGE", keys.FINISHED, "+", "-", "COUNT", MOST_UNRECORDED)
    ids = {id.decode() for id in unfinished}
    ids |= {dict(zip(f[::2], f[1::2], strict=True))[b"id"].decode() for _, f in unrecorded}
    found = await asyncio.gather(*(_read(gate, PredictionId(id)) for id in ids))
    return [job for job in found if job is not None and job.owner == owner]


async def _read(gate: Gateway, id: PredictionId) -> Job | None:
    return parse(id, await gate.redis.call(*read_command(id)))


def _recorded(connection: Connection, owner: Owner, wanted: Filter, limit: int) -> list[Job]:
    rows = history.page(
        connection,
        owner,
        before=wanted.before,
        limit=limit,
        model=ModelName(wanted.model) if wanted.model else None,
        status=wanted.status,
        batch_id=BatchId(wanted.batch_id) if wanted.batch_id else None,
    )
    return [row.job() for row in rows]
