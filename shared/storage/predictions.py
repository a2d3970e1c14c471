"""Reads recorded predictions. Calls block, so the gateway makes them in a thread."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Numeric, and_, case, cast, func, select, true

from shared.domain.identifiers import BatchId, ModelName, Owner, PredictionId, VersionKey, VersionNumber, is_uuid
from shared.domain.job import Job
from shared.domain.job_request import JobRequest, RequestImage
from shared.domain.output_form import are_numbers
from shared.domain.prediction import Source, Status
from shared.domain.prediction_filter import PredictionFilter
from shared.domain.timestamps import instant, microseconds
from shared.domain.webhooks import Webhook
from shared.storage.metadata_search import MetadataSearch, has_member
from shared.storage.shown_columns import shown_column
from shared.storage.tables import predictions

MOST_READ: Final = 5000
"""Rows that one call of `list_predictions` compares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One row of `predictions`. `image` has format, width, height, bytes, filename; instants have their time zone.

    `output` is without a large mask.
    """

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
    request_id: str | None
    retry_of: PredictionId | None

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
                request_id=self.request_id,
                retry_of=self.retry_of,
                trace=(self.webhook or {}).get("trace"),
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


_COLUMNS = [shown_column(column.name) for column in fields(Prediction)]


def find_prediction(connection: Connection, id: PredictionId, owner: Owner | None) -> Prediction | None:
    """Return the owner's prediction, without an owner anybody's; None where there is none or it is unfinished."""
    if not is_uuid(id):
        return None
    query = select(*_COLUMNS).where(predictions.c.id == id)
    if owner is not None:
        query = query.where(predictions.c.owner == owner)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Prediction(**row)


def find_output(connection: Connection, id: PredictionId, owner: Owner) -> Any:
    """Return the output of the owner's prediction, with its mask however large; None where there is none."""
    return connection.scalar(select(predictions.c.output).where(predictions.c.id == id, predictions.c.owner == owner))


def find_predictions(connection: Connection, ids: Sequence[PredictionId]) -> list[Prediction]:
    """Return those of the predictions that are recorded, of any owner, in no order."""
    query = select(*_COLUMNS).where(predictions.c.id.in_(ids))
    return [Prediction(**row) for row in connection.execute(query).mappings()]


def find_recorded_at(connection: Connection, id: PredictionId, owner: Owner) -> datetime | None:
    """Return when the row of an owner's prediction was written; None where there is none, or it is not known."""
    row = predictions.c
    return connection.scalar(select(row.recorded_at).where(row.id == id, row.owner == owner))


def has_any(connection: Connection, owner: Owner) -> bool:
    """Tell whether an owner has a recorded prediction."""
    return connection.scalar(select(predictions.c.id).where(predictions.c.owner == owner).limit(1)) is not None


def recorded_ids(connection: Connection, ids: Sequence[PredictionId]) -> list[PredictionId]:
    """Return those of the ids that have a row."""
    query = select(predictions.c.id).where(predictions.c.id.in_(ids))
    return [PredictionId(str(id)) for id in connection.execute(query).scalars()]


def list_predictions(
    connection: Connection,
    owner: Owner,
    wanted: PredictionFilter,
    *,
    before: PredictionId | None,
    limit: int,
    most_read: int = MOST_READ,
    search: MetadataSearch | None = None,
) -> tuple[list[Prediction], PredictionId | None]:
    """Return up to `limit` of the owner's predictions, newest first, and the id to go on before; None at the end.

    With `before`, those older than that id. An index finds the rows of one condition; where there are others, at most
    `most_read` of those rows are read and compared. So a call takes milliseconds, may return too few, and says where
    to go on: of ten million rows none may match. With conditions on metadata, older ones come from the index on it by
    `search`, unless many match it.
    """
    indexed, compared = _conditions(owner, wanted)
    below, lowest = wanted.highest_id(before), wanted.lowest_id
    if below is not None:
        indexed.append(predictions.c.id < below)
    if lowest is not None:
        indexed.append(predictions.c.id >= lowest)
    # The ids from an index alone, then a row for each (OFFSET 0 leaves Postgres no other way): else it may
    # walk the table by id, past millions of other rows.
    ids = select(predictions.c.id).where(*indexed).order_by(predictions.c.id.desc())
    last = connection.scalar(ids.offset(most_read - 1).limit(1)) if compared else None
    read = ids.limit(most_read if compared else limit).subquery("read")
    row = select(*_COLUMNS).where(predictions.c.id == read.c.id, *compared).offset(0).lateral("row")
    query = select(row).select_from(read.join(row, true())).order_by(read.c.id.desc()).limit(limit)
    rows = [Prediction(**row) for row in connection.execute(query).mappings()]
    if len(rows) == limit or last is None or not wanted.metadata:
        return rows, rows[-1].id if len(rows) == limit else last
    older = (search or MetadataSearch()).find(
        connection, wanted.metadata, [*indexed, *compared, predictions.c.id < last], limit=limit - len(rows)
    )
    if older is None:
        return rows, last
    found = select(*_COLUMNS).where(predictions.c.id.in_(older)).order_by(predictions.c.id.desc())
    rows += [Prediction(**row) for row in connection.execute(found).mappings()]
    return rows, rows[-1].id if len(rows) == limit else None


def _conditions(owner: Owner, wanted: PredictionFilter) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """Return the conditions that one index holds for, and those to compare its rows with."""
    row = predictions.c
    is_owner = row.owner == owner
    of_batch = [] if wanted.batch_id is None else [row.batch_id == wanted.batch_id]
    status = wanted.ended_as
    of_status = [] if status is None else [row.status == status]
    of_model = [] if wanted.model is None else [row.model == wanted.model]
    compared: list[ColumnElement[bool]] = []
    # The index that holds the fewest rows: nearly all rows succeeded; those by status and by code have only the others.
    of_code = [] if wanted.error_code is None else [row.error_code == wanted.error_code]
    if of_batch:
        indexed = of_batch
        compared += [is_owner, *of_status, *of_model, *of_code]
    elif of_code:
        indexed = [is_owner, *of_code]
        compared += ([] if wanted.status is None else of_status) + of_model
    elif of_status and status is not Status.SUCCEEDED:
        indexed = [is_owner, *of_status]
        compared += of_model
    else:
        indexed = [is_owner, *of_model]
        compared += of_status
    if wanted.version is not None:
        compared.append(row.version == wanted.version)
    if wanted.variant is not None:
        compared.append(row.variant == wanted.variant)
    if wanted.created_after is not None:
        compared.append(row.created_at >= instant(wanted.created_after))
    if wanted.created_before is not None:
        compared.append(row.created_at < instant(wanted.created_before))
    if wanted.asks_confidence:
        compared.append(_confidence_between(wanted.min_confidence, wanted.max_confidence))
    compared += [has_member(one) for one in wanted.metadata]
    return indexed, compared


def _confidence_between(lowest: float | None, highest: float | None) -> ColumnElement[bool]:
    """Return the condition of an output whose confidence is a number, within the bounds that are given."""
    # An output of the task `json` may call anything its confidence.
    value = predictions.c.output["confidence"]
    number = cast(value.astext, Numeric)
    bounds = [] if lowest is None else [number >= lowest]
    bounds += [] if highest is None else [number <= highest]
    return case((func.jsonb_typeof(value) == "number", and_(*bounds)), else_=False)


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
