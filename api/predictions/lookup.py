"""Find a prediction: Redis first, then Postgres."""

from api.state.gateway import Gateway
from api.state.postgres import ask_postgres
from shared.domain.errors import UnknownPrediction
from shared.domain.identifiers import Owner, PredictionId
from shared.domain.job import Job
from shared.storage import predictions


async def find_prediction(gate: Gateway, id: PredictionId, *, owner: Owner | None) -> Job:
    """Return a prediction of `owner`, or of anybody where that is None.

    Raises UnknownPrediction, or StorageUnavailable where neither Redis nor Postgres can tell.
    """
    job = await gate.producer.jobs.find(id)
    if job is None:
        # Missing in Redis and no Postgres: 404 would be a guess.
        row = await ask_postgres(gate, lambda connection: predictions.find_prediction(connection, id, owner))
        job = None if row is None else row.job()
    if job is None or owner not in (None, job.owner):
        raise UnknownPrediction(id=id)
    return job


async def refresh_prediction(gate: Gateway, job: Job) -> Job:
    """Return the job as it is now."""
    if job.status.is_terminal:
        return job
    return await find_prediction(gate, job.id, owner=job.owner)
