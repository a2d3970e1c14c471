"""Find a prediction: Redis first, then Postgres."""

import asyncio
from datetime import timedelta

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.gateway import Gateway
from shared.domain.errors import StorageUnavailable, UnknownPrediction
from shared.domain.identifiers import Owner, PredictionId, is_uuid
from shared.domain.job import Job
from shared.queue.jobs import parse, read_command
from shared.storage import history


async def find(gate: Gateway, id: str, *, owner: Owner) -> Job:
    """Return an owner's prediction; raises UnknownPrediction, or StorageUnavailable where nobody could say."""
    if not is_uuid(id):
        raise UnknownPrediction(id=id)
    key = PredictionId(id)
    job = parse(key, await gate.redis.call(*read_command(key)))
    if job is None:
        job = await asyncio.to_thread(_from_history, gate, key, owner)
    if job is None or job.owner != owner:
        raise UnknownPrediction(id=id)
    return job


async def refresh(gate: Gateway, job: Job) -> Job:
    """Return the job as it is now."""
    if job.status.is_terminal:
        return job
    return await find(gate, job.id, owner=job.owner)


def _from_history(gate: Gateway, id: PredictionId, owner: Owner) -> Job | None:
    try:
        with gate.engine.connect() as connection:
            return history.fetch(connection, id, owner)
    except (DBAPIError, PoolTimeout):
        # Missing in Redis and no Postgres: 404 would be a guess.
        raise StorageUnavailable(store="postgres", retry_after=timedelta(seconds=2)) from None
