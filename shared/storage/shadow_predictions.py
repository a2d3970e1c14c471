"""Writes and reads shadow predictions: what a model's shadow answered to images that its champion answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DataError

from shared.domain.identifiers import ModelName, Owner, PredictionId, is_uuid
from shared.domain.model_route import SHADOW
from shared.storage.tables import shadow_predictions

UNSTORABLE = "the text of this shadow prediction could not be stored and was left out"

_INSERT = text("""
    WITH arrived AS (
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:version_keys AS text[]), CAST(:versions AS text[]), CAST(:statuses AS text[]),
            CAST(:outputs AS text[]), CAST(:errors AS text[]), CAST(:codes AS text[]), CAST(:agree AS boolean[]),
            CAST(:predict_ms AS float8[]), CAST(:created AS timestamptz[])
        ) AS one (id, version_key, version, status, output, error, code, agrees, predict_ms, created_at)
    ), known AS (
        SELECT id, owner, model FROM predictions WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR KEY SHARE
    ), inserted AS (
        INSERT INTO shadow_predictions (
            prediction_id, version_key, owner, model, version, variant, status, output, error, error_code, agrees,
            predict_ms, created_at
        )
        SELECT known.id, version_key, owner, model, version, :variant, status, CAST(output AS jsonb), error, code,
               agrees, predict_ms, created_at
        FROM arrived JOIN known USING (id)
        ORDER BY known.id, version_key
        ON CONFLICT (prediction_id, version_key) DO NOTHING
        RETURNING prediction_id, version_key
    )
    SELECT known.id::text, ARRAY(SELECT version_key FROM inserted WHERE prediction_id = known.id) AS inserted FROM known
""")
"""Inserts shadow predictions whose prediction has a row, and returns the ids that have one, with what is new of each.
Those rows are locked against deletion until the commit. Inserted in order: two recorders can't deadlock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowPrediction:
    """What a shadow answered to the image of `prediction_id`; `output` is an object, None where `status` is failed."""

    prediction_id: PredictionId
    version: str
    version_key: str
    status: str
    output: Any = None
    error: str | None = None
    error_code: str | None = None
    agrees: bool | None = None
    predict_ms: float | None = None
    created_at: datetime


@dataclass(slots=True)
class Stored:
    """Result of storing: which had no row before, and the ids of all that have a row in `predictions`."""

    inserted: list[ShadowPrediction] = field(default_factory=list)
    known: set[PredictionId] = field(default_factory=set)


def store_shadow_predictions(connection: Connection, shadows: Sequence[ShadowPrediction]) -> Stored:
    """Commit those whose prediction is recorded. Safe twice: one that has its row changes nothing.

    Text that Postgres refuses is left out. Raises what SQLAlchemy raises where Postgres can't be reached.
    """
    stored = Stored()
    _store_part(connection, [one for one in shadows if is_uuid(one.prediction_id)], stored)
    return stored


def shadow_predictions_of(
    connection: Connection, id: PredictionId, owner: Owner | None
) -> list[tuple[ModelName, ShadowPrediction]]:
    """Return the shadow predictions of an owner's prediction, or of anybody's without an owner; with their model."""
    if not is_uuid(id):
        return []
    columns = shadow_predictions.c
    query = select(shadow_predictions).where(columns.prediction_id == id)
    if owner is not None:
        query = query.where(columns.owner == owner)
    found = connection.execute(query.order_by(columns.created_at, columns.version_key))
    return [(ModelName(row.model), _shadow_prediction(row)) for row in found]


def _store_part(connection: Connection, part: Sequence[ShadowPrediction], stored: Stored) -> None:
    """Commit a part; where Postgres refuses it, its halves, and one that is refused alone without its text."""
    if not part:
        return
    try:
        _insert(connection, part, stored)
    except DataError:
        connection.rollback()
        if len(part) == 1:
            _insert(connection, [_stripped(part[0])], stored)
            return
        middle = len(part) // 2
        _store_part(connection, part[:middle], stored)
        _store_part(connection, part[middle:], stored)


def _insert(connection: Connection, part: Sequence[ShadowPrediction], stored: Stored) -> None:
    arguments = {
        "variant": SHADOW,
        "ids": [one.prediction_id for one in part],
        "version_keys": [one.version_key for one in part],
        "versions": [one.version for one in part],
        "statuses": [str(one.status) for one in part],
        "outputs": [None if one.output is None else orjson.dumps(one.output).decode() for one in part],
        "errors": [one.error for one in part],
        "codes": [one.error_code for one in part],
        "agree": [one.agrees for one in part],
        "predict_ms": [one.predict_ms for one in part],
        "created": [one.created_at for one in part],
    }
    try:
        with connection.begin():
            found = {PredictionId(row.id): set(row.inserted) for row in connection.execute(_INSERT, arguments)}
    except ValueError as error:  # psycopg2's, for NUL in a text
        raise DataError("shadow_predictions", None, error) from None
    stored.known |= found.keys()
    stored.inserted += [one for one in part if one.version_key in found.get(one.prediction_id, ())]


def _stripped(one: ShadowPrediction) -> ShadowPrediction:
    return ShadowPrediction(
        prediction_id=one.prediction_id,
        version=one.version,
        version_key=one.version_key,
        status=one.status,
        error=UNSTORABLE,
        error_code=one.error_code,
        agrees=one.agrees,
        predict_ms=one.predict_ms,
        created_at=one.created_at,
    )


def _shadow_prediction(row: Any) -> ShadowPrediction:
    return ShadowPrediction(
        prediction_id=PredictionId(str(row.prediction_id)),
        version=row.version,
        version_key=row.version_key,
        status=row.status,
        output=row.output,
        error=row.error,
        error_code=row.error_code,
        agrees=row.agrees,
        predict_ms=row.predict_ms,
        created_at=row.created_at,
    )
