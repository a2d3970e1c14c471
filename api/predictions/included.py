"""A prediction with what belongs to it, where a caller asks for it: shadows' answers, feedback, deliveries, events."""

from collections.abc import Collection
from functools import partial
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy import Connection

from api.edge.auth import caller
from api.http.delivery_objects import delivery_detail
from api.http.json import JSONResponse
from api.predictions.moments import life_of
from api.state.gateway import base_url, gateway
from api.state.postgres import ask_postgres
from shared.domain.errors import InvalidParameter
from shared.domain.identifiers import Owner
from shared.domain.job import Job
from shared.domain.timestamps import microseconds, rfc3339
from shared.presentation.objects import prediction_object
from shared.storage.deliveries import deliveries_of
from shared.storage.feedback import list_feedback
from shared.storage.predictions import find_recorded_at, with_sorted_scores
from shared.storage.shadow_predictions import ShadowPrediction, shadow_predictions_of

SHADOW: Final = "shadow"
FEEDBACK: Final = "feedback"
DELIVERIES: Final = "deliveries"
EVENTS: Final = "events"
_INCLUDABLE: Final = (SHADOW, FEEDBACK, DELIVERIES, EVENTS)
MOST_FEEDBACK: Final = 100
"""The newest answers; all of them are at the prediction's own list."""


async def read_with_included(request: Request, job: Job) -> Response:
    """Return the prediction's object with what `include` names, most of which is only in Postgres.

    Raises InvalidParameter for anything else to include, and StorageUnavailable.
    """
    asked = set(request.query_params["include"].split(","))
    if unknown := sorted(asked.difference(_INCLUDABLE)):
        *first, last = _INCLUDABLE
        raise InvalidParameter(
            detail=f"only {', '.join(first)} and {last} can be included, not {unknown[0][:40]!r}", pointer="/include"
        )
    base = base_url(request)
    read = partial(_read_included, job, caller(request).owner, asked, base)
    included = await ask_postgres(gateway(request), read)
    return JSONResponse(prediction_object(job, base_url=base, tokens=gateway(request).tokens) | included)


def _read_included(job: Job, owner: Owner, asked: Collection[str], base: str, connection: Connection) -> dict[str, Any]:
    """Return the members that are asked for; events are made of all the others."""
    included: dict[str, Any] = {}
    with_events = EVENTS in asked
    shadows = (
        [one for _, one in shadow_predictions_of(connection, job.id, owner)] if with_events or SHADOW in asked else []
    )
    given, made = [], []
    if with_events or FEEDBACK in asked:
        given = list_feedback(connection, owner, prediction=job.id, before=None, limit=MOST_FEEDBACK)
    if with_events or DELIVERIES in asked:
        made = deliveries_of(connection, job.id, owner)
    if SHADOW in asked:
        included[SHADOW] = [_shadow_object(one) for one in shadows]
    if FEEDBACK in asked:
        included[FEEDBACK] = [one.as_json() for one in given]
    if DELIVERIES in asked:
        included[DELIVERIES] = [delivery_detail(*one, base=base) for one in made]
    if with_events:
        recorded = find_recorded_at(connection, job.id, owner)
        moments = life_of(job, recorded=recorded, shadows=shadows, feedback=given, deliveries=made)
        included |= {"request_id": job.request.request_id, EVENTS: [one.as_json() for one in moments]}
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
