"""Reads the predictions of kept pictures for exports: with the feedback that counts, and if the shadow disagreed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from shared.domain.identifiers import Digest, ModelName, Owner, PredictionId, first_uuid7

PAGE: Final = 5000

_PAGE = text("""
    SELECT id::text, image_sha256, version, output->>'predicted_class' AS predicted_class,
           output->>'confidence' AS confidence, created_at, completed_at, status
    FROM predictions WHERE owner = :owner AND model = :model AND id > CAST(:after AS uuid)
    ORDER BY id LIMIT :limit
""")
"""Reads some of an owner's predictions of a model, the oldest first, through the index on both."""

_FEEDBACK = text("""
    SELECT DISTINCT ON (prediction_id) prediction_id::text, id::text, label, value, boxes, by, created_at
    FROM feedback WHERE prediction_id = ANY(CAST(:ids AS uuid[])) AND owner = :owner
    ORDER BY prediction_id, id DESC
""")
"""Reads the feedback that counts of each prediction: the last."""

_DISAGREEMENTS = text("""
    SELECT DISTINCT prediction_id::text FROM shadow_predictions
    WHERE prediction_id = ANY(CAST(:ids AS uuid[])) AND owner = :owner AND agrees = false
""")
"""Reads which of these predictions a shadow disagreed with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedFeedback:
    """The last feedback of a prediction: one of `label`, `value` and `boxes`; `by` is who gave it, if said."""

    id: str
    label: str | None
    value: Any
    boxes: Any
    by: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPrediction:
    """One prediction of a kept picture that succeeded."""

    id: PredictionId
    digest: Digest
    version: str
    predicted_class: str | None
    confidence: float | None
    created_at: datetime
    feedback: CountedFeedback | None
    disagreed: bool


def read_kept_predictions(
    connection: Connection, owner: Owner, model: ModelName, *, since: datetime, digests: Collection[Digest]
) -> Iterator[KeptPrediction]:
    """Yield an owner's predictions since then of the pictures with these digests, the oldest first."""
    after = first_uuid7(since.timestamp() * 1000)
    while True:
        page = connection.execute(_PAGE, {"owner": owner, "model": model, "after": after, "limit": PAGE}).all()
        wanted = [row for row in page if row.image_sha256 in digests and row.status == "succeeded"]
        about = {"ids": [row.id for row in wanted], "owner": owner}
        told = {row.prediction_id: row for row in connection.execute(_FEEDBACK, about)} if wanted else {}
        disagreed = set(connection.execute(_DISAGREEMENTS, about).scalars()) if wanted else set()
        for row in wanted:
            yield KeptPrediction(
                id=PredictionId(row.id),
                digest=Digest(row.image_sha256),
                version=row.version,
                predicted_class=row.predicted_class,
                confidence=_number(row.confidence),
                created_at=row.created_at,
                feedback=_feedback(told.get(row.id)),
                disagreed=row.id in disagreed,
            )
        if len(page) < PAGE:
            return
        after = page[-1].id


def _feedback(row: Any) -> CountedFeedback | None:
    if row is None:
        return None
    return CountedFeedback(
        id=row.id, label=row.label, value=row.value, boxes=row.boxes, by=row.by, created_at=row.created_at
    )


def _number(text: str | None) -> float | None:
    """Return a JSON number; None for what an object of the task `json` may call its confidence instead."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
