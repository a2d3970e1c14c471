"""Find a prediction: Redis first, then Postgres."""

from typing import Any

from api.gateway import Gateway
from api.postgres import ask_postgres, microseconds
from shared.domain.errors import UnknownPrediction
from shared.domain.identifiers import Owner, PredictionId, is_uuid
from shared.domain.job import Job
from shared.domain.prediction import Source, Status
from shared.queue.jobs import parse, read_command
from shared.storage import history


async def find(gate: Gateway, id: str, *, owner: Owner) -> Job:
    """Return an owner's prediction; raises UnknownPrediction, or StorageUnavailable where nobody could say."""
    if not is_uuid(id):
        raise UnknownPrediction(id=id)
    key = PredictionId(id)
    job = parse(key, await gate.redis.call(*read_command(key)))
    if job is None:
        # Missing in Redis and no Postgres: 404 would be a guess.
        row = await ask_postgres(gate, lambda connection: history.fetch(connection, key, owner))
        job = None if row is None else from_row(row)
    if job is None or job.owner != owner:
        raise UnknownPrediction(id=id)
    return job


async def refresh(gate: Gateway, job: Job) -> Job:
    """Return the job as it is now."""
    if job.status.is_terminal:
        return job
    return await find(gate, job.id, owner=job.owner)


def from_row(row: history.Prediction) -> Job:
    """Return the job behind a recorded prediction."""
    return Job(
        id=row.id,
        owner=row.owner,
        batch=row.batch_id or "",
        status=Status(row.status),
        request={
            "model": row.model,
            "version": row.version,
            "variant": row.variant,
            "image": {"sha256": row.image_sha256 or None, **row.image},
            "metadata": row.metadata,
        },
        created=microseconds(row.created_at),
        started=microseconds(row.started_at) if row.started_at else None,
        completed=microseconds(row.completed_at),
        source=Source(row.source),
        output=in_order(row.output),
        error=row.error,
        code=row.error_code,
        attempts=row.attempts,
        batch_size=row.batch_size,
        predict_ms=row.predict_ms,
        worker=row.worker,
    )


def in_order(output: Any) -> Any:
    """Return an output with its probabilities highest first: jsonb keeps members in an order of its own."""
    if output is None:
        return None
    first = output["predicted_class"]
    ordered = sorted(output["probabilities"].items(), key=lambda item: (-item[1], item[0] != first))
    return {**output, "probabilities": dict(ordered)}
