"""A prediction with what belongs to it, where a caller asks for it: its shadows' answers, its feedback."""

from collections.abc import Collection
from functools import partial
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy import Connection

from api.edge.auth import caller
from api.http.json import JSONResponse
from api.state.gateway import base_url, gateway
from api.state.postgres import ask_postgres
from shared.domain.errors import InvalidParameter
from shared.domain.identifiers import Owner, PredictionId
from shared.domain.job import Job
from shared.domain.timestamps import microseconds, rfc3339
from shared.presentation.objects import prediction_object
from shared.storage.feedback import list_feedback
from shared.storage.predictions import with_sorted_scores
from shared.storage.shadow_predictions import ShadowPrediction, shadow_predictions_of

SHADOW: Final = "shadow"
FEEDBACK: Final = "feedback"
MOST_FEEDBACK: Final = 100
"""The newest answers; all of them are at the prediction's own list."""


async def read_with_included(request: Request, job: Job) -> Response:
    """Return the prediction's object with what `include` names, which is only in Postgres.

    Raises InvalidParameter for anything else to include, and StorageUnavailable.
    """
    asked = set(request.query_params["include"].split(","))
    if unknown := sorted(asked - {SHADOW, FEEDBACK}):
        raise InvalidParameter(
            detail=f"only {SHADOW} and {FEEDBACK} can be included, not {unknown[0][:40]!r}", pointer="/include"
        )
    included = await ask_postgres(gateway(request), partial(_read_included, job.id, caller(request).owner, asked))
    return JSONResponse(prediction_object(job, base_url=base_url(request), tokens=gateway(request).tokens) | included)


def _read_included(
    prediction: PredictionId, owner: Owner, asked: Collection[str], connection: Connection
) -> dict[str, Any]:
    included: dict[str, Any] = {}
    if SHADOW in asked:
        shadows = shadow_predictions_of(connection, prediction, owner)
        included[SHADOW] = [_shadow_object(one) for _, one in shadows]
    if FEEDBACK in asked:
        given = list_feedback(connection, owner, prediction=prediction, before=None, limit=MOST_FEEDBACK)
        included[FEEDBACK] = [one.as_json() for one in given]
    return included


def _shadow_object(one: ShadowPrediction) -> dict[str, Any]:
    return {
        "version": one.version,
        "status": one.status,
        "output": with_sorted_scores(one.output),
        "error": one.error,
        "error_code": one.error_code,
        "agrees": one.agrees,
        "predict_time": None if one.predict_ms is None else one.predict_ms / 1000,
        "created_at": rfc3339(microseconds(one.created_at)),
    }
