"""Reads recorded predictions. Calls block, so the gateway makes them in a thread."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from shared.domain.identifiers import BatchId, ModelName, Owner, PredictionId, VersionKey, VersionNumber, is_uuid
from shared.domain.job import Job
from shared.domain.job_request import JobRequest, RequestImage
from shared.domain.output_form import are_numbers
from shared.domain.prediction import Source, Status
from shared.domain.timestamps import microseconds
from shared.domain.webhooks import Webhook
from shared.storage.tables import predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One row of `predictions`. `image` has format, width, height, bytes, filename; instants have their time zone."""

    id: PredictionId
    owner: Owner
    batch_id: BatchId | None
    custom_id: str | None
    model: ModelName
    version: str
    version_key: str
    variant: str
    status: str
    source: str
    image_sha256: str
    image: dict[str, Any]
    output: Any
    error: str | None
    error_code: str | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime
    queue_ms: float | None
    predict_ms: float | None
    batch_size: int | None
    worker: str | None
    metadata: dict[str, Any]
    webhook: dict[str, Any] | None
    base_url: str

    def job(self) -> Job:
        """Return the row as a Job, as it would be read from Redis."""
        return Job(
            id=self.id,
            owner=self.owner,
            batch=self.batch_id or "",
            status=Status(self.status),
            request=JobRequest(
                model=self.model,
                version=VersionNumber(self.version),
                version_key=VersionKey(self.version_key),
                variant=self.variant,
                image=RequestImage.read({**self.image, "sha256": self.image_sha256 or None}),
                metadata=self.metadata,
                base_url=self.base_url,
                webhook=None if self.webhook is None else Webhook.from_json(self.webhook),
                custom_id=self.custom_id,
            ),
            created=microseconds(self.created_at),
            started=microseconds(self.started_at) if self.started_at else None,
            completed=microseconds(self.completed_at),
            source=Source(self.source),
            output=with_sorted_scores(self.output),
            error=self.error,
            code=self.error_code,
            attempts=self.attempts,
            batch_size=self.batch_size,
            predict_ms=self.predict_ms,
            worker=self.worker,
        )


_COLUMNS = [predictions.c[column.name] for column in fields(Prediction)]


def find_prediction(connection: Connection, id: PredictionId, owner: Owner | None) -> Prediction | None:
    """Return the owner's prediction, without an owner anybody's; None where there is none or it is unfinished."""
    if not is_uuid(id):
        return None
    query = select(*_COLUMNS).where(predictions.c.id == id)
    if owner is not None:
        query = query.where(predictions.c.owner == owner)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Prediction(**row)


def find_predictions(connection: Connection, ids: Sequence[PredictionId]) -> list[Prediction]:
    """Return those of the predictions that are recorded, of any owner, in no order."""
    query = select(*_COLUMNS).where(predictions.c.id.in_(ids))
    return [Prediction(**row) for row in connection.execute(query).mappings()]


def recorded_ids(connection: Connection, ids: Sequence[PredictionId]) -> list[PredictionId]:
    """Return those of the ids that have a row."""
    query = select(predictions.c.id).where(predictions.c.id.in_(ids))
    return [PredictionId(str(id)) for id in connection.execute(query).scalars()]


def list_predictions(
    connection: Connection,
    owner: Owner,
    *,
    before: PredictionId | None,
    limit: int,
    model: ModelName | None = None,
    status: Status | None = None,
    batch_id: BatchId | None = None,
) -> list[Prediction]:
    """Return up to `limit` of the owner's predictions, the newest first; with `before`, those older than that id."""
    query = select(*_COLUMNS).where(predictions.c.owner == owner)
    if before is not None:
        query = query.where(predictions.c.id < before)
    if model is not None:
        query = query.where(predictions.c.model == model)
    if status is not None:
        query = query.where(predictions.c.status == status)
    if batch_id is not None:
        query = query.where(predictions.c.batch_id == batch_id)
    rows = connection.execute(query.order_by(predictions.c.id.desc()).limit(limit)).mappings()
    return [Prediction(**row) for row in rows]


def count_predictions(connection: Connection, owner: Owner, model: ModelName, *, most: int) -> int:
    """Count an owner's recorded predictions of a model, up to `most`: counting on costs Postgres 0.1 µs a row."""
    rows = select(predictions.c.id).where(predictions.c.owner == owner, predictions.c.model == model).limit(most)
    return connection.scalar(select(func.count()).select_from(rows.subquery())) or 0


def with_sorted_scores(output: Any) -> Any:
    """Return an output with its probabilities or scores sorted, the highest first: jsonb has its own order of members.

    Other outputs, whose members have no order that means anything, are returned as they are.
    """
    match output:
        case {"predicted_class": label, "predicted_index": index, "probabilities": scores} if are_numbers(scores):
            # Where several classes share a label, each label has its class' index behind it.
            first: tuple[object, ...] = (label, f"{label} ({index})")
            member = "probabilities"
        case {"predicted_classes": [*first_of_all], "scores": scores} if are_numbers(scores):
            first, member = tuple(first_of_all), "scores"
        case _:
            return output
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0] not in first))
    return {**output, member: dict(ordered)}
