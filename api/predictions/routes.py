"""Routes of predictions: submit, read, list, follow, cancel.

Over 300 lines: each route is declared with its OpenAPI text; the work is done elsewhere.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.types import Receive, Scope, Send

from api import schemas
from api.edge.auth import caller, follower
from api.edge.guard import GuardedRoute, takes_token
from api.http import problem_kinds as kinds
from api.http.event_stream import event_stream
from api.http.json import JSONResponse
from api.http.known_parameters import check_parameters
from api.http.paging import Cursor, Limit, check_cursor, page_answer
from api.http.preferred_wait import answer_deadline, preference_applied, preferred_wait
from api.http.result_formats import CSV, NDJSON
from api.openapi import requests, responses
from api.predictions.events import prediction_events, told_everything
from api.predictions.export import exported_csv, exported_lines
from api.predictions.included import read_with_included
from api.predictions.listing import list_predictions
from api.predictions.lookup import find_prediction
from api.predictions.masks import read_mask
from api.predictions.retry import retry_prediction
from api.predictions.submit import submit
from api.predictions.waiting import wait_for_prediction
from api.state.gateway import base_url, gateway
from shared.domain.errors import InvalidParameter, UnknownPrediction
from shared.domain.identifiers import PredictionId, is_uuid
from shared.domain.job import Job
from shared.domain.model_reference import Reference
from shared.domain.prediction import ErrorCode, Status
from shared.domain.prediction_filter import MetadataCondition, PredictionFilter
from shared.domain.timestamps import parse_rfc3339
from shared.observability.logs import bind
from shared.presentation.objects import prediction_object


class DirectRoute(GuardedRoute):
    """A route whose endpoint takes the request itself and returns the response; its errors go on to the app's handlers.

    FastAPI's resolving of dependencies costs 12 µs a request, a tenth of a submission in the gateway, and what it puts
    around the endpoint another 4: two stacks of contexts and a second handling of errors.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = partial(_serve, endpoint)


async def _serve(
    endpoint: Callable[[Request], Awaitable[Response]], scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer one request, as an ASGI app."""
    response = await endpoint(Request(scope, receive, send))
    await response(scope, receive, send)


router = APIRouter(prefix="/v1", tags=["predictions"], route_class=GuardedRoute)
direct = APIRouter(prefix="/v1", tags=["predictions"], route_class=DirectRoute)

_REFUSALS = (
    kinds.BAD_REQUEST,
    kinds.UNKNOWN_MODEL,
    kinds.UNKNOWN_FILE,
    kinds.IMAGE_TOO_LARGE,
    kinds.UNSUPPORTED_IMAGE,
    kinds.UNDECODABLE_IMAGE,
    kinds.INVALID_PARAMETER,
    kinds.IDEMPOTENCY_MISMATCH,
    kinds.RATE_LIMITED,
    kinds.QUEUE_FULL,
    kinds.STORAGE_UNAVAILABLE,
)
_RETRY_REFUSALS = (
    kinds.UNKNOWN_PREDICTION,
    kinds.NOTHING_FAILED,
    kinds.IMAGE_GONE,
    *(kind for kind in _REFUSALS if kind not in (kinds.BAD_REQUEST, kinds.UNKNOWN_FILE)),
)
_SUBMIT: dict[str, Any] = {
    "status_code": 202,
    "responses": responses.by_status(
        {200: schemas.Prediction, 202: schemas.Prediction},
        *_REFUSALS,
        headers=responses.LOCATION | responses.WAITED | responses.LIMITED,
    ),
    "openapi_extra": requests.submission(),
}
PAGE_SIZE: Final = 100
MOST_CONDITIONS: Final = 8
"""Members of the metadata that one list may ask for."""
# In the document alone: pydantic would take a number of seconds for an instant too.
INSTANT: Final[dict[str, Any]] = {
    "json_schema_extra": {"format": "date-time"},
    "examples": ["2026-01-31T12:00:00Z"],
}
_UNKNOWN = (kinds.UNKNOWN_PREDICTION, kinds.STORAGE_UNAVAILABLE)


@direct.post("/predictions", summary="Predict an image", **_SUBMIT)
async def create(request: Request) -> Response:
    """Accept one image: 202 with its id while it waits, 200 when it has ended (a repeated image at once)."""
    return await submit(request)


[submission] = (route for route in direct.routes if isinstance(route, DirectRoute))


@direct.post("/models/{owner}/{name}/predictions", summary="Predict an image with a model", **_SUBMIT)
async def create_for_model(request: Request) -> Response:
    """Accept one image for the model in the path; `name` may carry `@alias`."""
    return await submit(request, model=request.path_params["name"])


@direct.get(
    "/predictions/{id}",
    summary="Read a prediction",
    responses=responses.by_status(
        {200: schemas.Prediction}, *_UNKNOWN, kinds.INVALID_PARAMETER, headers=responses.WAITED
    ),
    openapi_extra=requests.reading(),
)
async def read(request: Request) -> Response:
    """Return a prediction as it is, or with `Prefer: wait` as it ends."""
    gate, id = gateway(request), _asked(request)
    if query := request.scope["query_string"]:  # a direct route's parameters are not known to its guard
        check_parameters(query, ("include",))
    if request.query_params.get("include"):
        return await read_with_included(request, await find_prediction(gate, id, owner=caller(request).owner))
    wait = preferred_wait(request)
    if wait is None:
        return _answer(request, await find_prediction(gate, id, owner=caller(request).owner))
    deadline = answer_deadline(wait)
    with gate.waiters.listen(id) as ended:
        job = await find_prediction(gate, id, owner=caller(request).owner)
        job = await wait_for_prediction(gate, job, ended=ended, deadline=deadline)
    return _answer(request, job, headers=preference_applied(wait))


@router.get(
    "/predictions",
    summary="List predictions",
    responses=responses.prediction_list(kinds.INVALID_PARAMETER, kinds.STORAGE_UNAVAILABLE),
)
async def index(  # noqa: PLR0913, PLR0917  each is a parameter of the query
    request: Request,
    model: Annotated[str | None, Query(description="Only this model's")] = None,
    version: Annotated[str | None, Query(description="Only this version's, of any model", examples=["3"])] = None,
    variant: Annotated[
        str | None,
        Query(description="Only those that this alias chose; `pipeline`: those of pipelines", examples=["challenger"]),
    ] = None,
    status: Annotated[Status | None, Query(description="Only those in this state")] = None,
    batch_id: Annotated[str | None, Query(description="Only this batch's")] = None,
    created_after: Annotated[str | None, Query(description="Only those created then or later", **INSTANT)] = None,
    created_before: Annotated[str | None, Query(description="Only those created before then", **INSTANT)] = None,
    error_code: Annotated[ErrorCode | None, Query(description="Only those that ended with this error")] = None,
    min_confidence: Annotated[
        float | None, Query(ge=0, le=1, description="Only those that have a confidence, and none below this")
    ] = None,
    max_confidence: Annotated[
        float | None, Query(ge=0, le=1, description="Only those that have a confidence, and none above this")
    ] = None,
    metadata: Annotated[
        list[Annotated[str, Field(json_schema_extra={"pattern": "^[^=]+="})]] | None,
        Query(
            max_length=MOST_CONDITIONS,
            description="Only those whose metadata have this member, written `name=value`: a text, or a number, true, "
            "false or null. Repeated, all must hold",
            examples=[["patient=42"]],
        ),
    ] = None,
    format: Annotated[
        Literal["json", "ndjson", "csv"],
        Query(description="`json`: a page. `ndjson`, `csv`: a line each, every one that matches unless `limit` is set"),
    ] = "json",
    cursor: Cursor = None,
    limit: Annotated[Limit | None, Query(description="At most so many; of a page 100 where nothing is said")] = None,
) -> Response:
    """Return the caller's predictions, newest first, unfinished ones included.

    A page may have fewer than `limit` and yet a `next`, where few of many predictions match.
    """
    check_cursor(cursor)
    wanted = PredictionFilter(
        model=Reference.parse_model(model).name if model else None,
        version=version,
        variant=variant,
        status=status,
        batch_id=batch_id,
        created_after=_instant(created_after, "/created_after"),
        created_before=_instant(created_before, "/created_before"),
        error_code=error_code,
        min_confidence=min_confidence,
        max_confidence=max_confidence,
        metadata=[_condition(one) for one in metadata or ()],
    )
    gate, base = gateway(request), base_url(request)
    before = PredictionId(cursor) if cursor else None

    def as_json(job: Job) -> bytes:
        return orjson.dumps(prediction_object(job, base_url=base, tokens=gate.tokens))

    owner = caller(request).owner
    if format == "csv":
        lines = await exported_csv(gate, owner=owner, wanted=wanted, before=before, limit=limit, base_url=base)
        return StreamingResponse(lines, media_type=CSV)
    if format == "ndjson":
        lines = await exported_lines(
            gate, owner=owner, wanted=wanted, before=before, limit=limit, write=lambda job: as_json(job) + b"\n"
        )
        return StreamingResponse(lines, media_type=NDJSON)
    size = limit or PAGE_SIZE
    page = await list_predictions(gate, owner=owner, wanted=wanted, before=before, limit=size, write=as_json)
    query = request.query_params
    asked = {name: query.getlist(name) for name in query if name not in ("limit", "cursor", "format")}
    return page_answer(
        request,
        page.found,
        lambda one: orjson.Fragment(one.written),
        path="/v1/predictions",
        limit=size,
        after=page.after,
        **asked,
    )


def _condition(text: str) -> MetadataCondition:
    """Return a condition written `name=value`; raises InvalidParameter."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidParameter(detail="write name=value, as in metadata=patient=42", pointer="/metadata")
    return MetadataCondition(name, value)


def _instant(text: str | None, pointer: str) -> int | None:
    """Return an instant of the query in microseconds since 1970; raises InvalidParameter."""
    try:
        return parse_rfc3339(text) if text is not None else None
    except ValueError as error:
        raise InvalidParameter(detail=str(error), pointer=pointer) from None


@direct.get(
    "/predictions/{id}/stream",
    summary="Follow a prediction",
    response_class=StreamingResponse,
    responses=responses.stream(
        kinds.UNKNOWN_PREDICTION, "logs", "output", "error", "done", example=responses.PREDICTION_EVENTS
    ),
    openapi_extra=requests.streaming(),
)
@takes_token
async def stream(request: Request) -> Response:
    """Send server-sent events until the prediction ends: `logs`, `output` or `error`, `done`."""
    gate, id = gateway(request), _asked(request)
    job = await find_prediction(gate, id, owner=follower(request))
    last = request.headers.get("last-event-id", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 4 else 0  # noqa: PLR2004  ids are 1 to 4
    if told_everything(job, after=after):
        return Response(status_code=204)
    return event_stream(request, prediction_events(gate, job, after=after, base_url=base_url(request)))


@direct.get(
    "/predictions/{id}/mask",
    summary="Read a prediction's mask",
    response_class=Response,
    responses=responses.mask(kinds.UNKNOWN_PREDICTION, kinds.UNKNOWN_MASK, kinds.STORAGE_UNAVAILABLE),
)
async def mask(request: Request) -> Response:
    """Return the mask of a segmentation as a PNG, for as long as the prediction can be read."""
    file = await read_mask(gateway(request), _asked(request), owner=caller(request).owner)
    # What has ended never changes; `private`: it is its owner's alone.
    return Response(file, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@direct.post(
    "/predictions/{id}/cancel",
    summary="Cancel a prediction",
    responses=responses.by_status({200: schemas.Prediction}, *_UNKNOWN),
)
async def cancel(request: Request) -> Response:
    """Cancel at once and for ever; one that has ended stays as it is."""
    gate, id, owner = gateway(request), _asked(request), caller(request).owner
    await gate.producer.jobs.cancel(id, owner)
    return _answer(request, await find_prediction(gate, id, owner=owner))


@direct.post(
    "/predictions/{id}/retry",
    summary="Retry a prediction",
    status_code=202,
    responses=responses.by_status(
        {200: schemas.Prediction, 202: schemas.Prediction},
        *_RETRY_REFUSALS,
        headers=responses.LOCATION | responses.WAITED | responses.LIMITED,
    ),
    openapi_extra=requests.retrying(waits=True),
)
async def retry(request: Request) -> Response:
    """Predict a failed one's image again, as a new prediction (`retry_of`), while the image is kept.

    With the same alias or version, metadata and webhook; an alias may lead to another version by now.
    """
    return await retry_prediction(request, _asked(request))


def _asked(request: Request) -> PredictionId:
    """Return the id in the path; raises UnknownPrediction where it is no UUID."""
    id = request.path_params["id"]
    if not is_uuid(id):
        raise UnknownPrediction(id=id)
    bind(prediction_id=id)
    return PredictionId(id)


def _answer(request: Request, job: Job, headers: dict[str, str] | None = None) -> Response:
    body = prediction_object(job, base_url=base_url(request), tokens=gateway(request).tokens)
    return JSONResponse(body, headers=headers)
