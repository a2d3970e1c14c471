"""A prediction with what the model's shadows answered to its image: only where a caller asks for it."""

from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response

from api.edge.auth import caller
from api.http.json import JSONResponse
from api.state.gateway import base_url, gateway
from api.state.postgres import ask_postgres
from shared.domain.errors import InvalidParameter
from shared.domain.job import Job
from shared.domain.timestamps import microseconds, rfc3339
from shared.presentation.objects import prediction_object
from shared.storage.predictions import with_sorted_scores
from shared.storage.shadow_predictions import ShadowPrediction, shadow_predictions_of

INCLUDABLE: Final = "shadow"


async def read_with_shadow(request: Request, job: Job) -> Response:
    """Return the prediction's object with its shadows' answers, which are only in Postgres.

    Raises InvalidParameter for anything else to include, and StorageUnavailable.
    """
    if (asked := request.query_params["include"]) != INCLUDABLE:
        raise InvalidParameter(detail=f"only {INCLUDABLE} can be included, not {asked[:40]!r}", pointer="/include")
    gate, owner = gateway(request), caller(request).owner
    found = await ask_postgres(gate, lambda connection: shadow_predictions_of(connection, job.id, owner))
    body = prediction_object(job, base_url=base_url(request), tokens=gate.tokens)
    return JSONResponse(body | {"shadow": [_shadow_object(one) for _, one in found]})


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
