"""Routes of batches: upload, read, list, follow, cancel, results."""

import contextlib
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from api import schemas
from api.batches.events import batch_events, told_everything
from api.batches.lookup import find_batch, list_batches
from api.batches.results import read_columns, result_lines
from api.batches.retry import retry_batch
from api.batches.upload import accept_upload
from api.batches.waiting import is_small, wait_for_results
from api.edge.auth import caller, follower
from api.edge.guard import GuardedRoute, takes_token
from api.http import problem_kinds as kinds
from api.http.event_stream import event_stream
from api.http.json import JSONResponse
from api.http.paging import Cursor, Limit, check_cursor, page_answer
from api.http.preferred_wait import answer_deadline, preference_applied, preferred_wait
from api.http.result_formats import CSV, NDJSON, as_csv, as_ndjson, csv_header
from api.openapi import requests, responses
from api.state.gateway import base_url, gateway
from shared.domain.batch import Batch
from shared.domain.errors import StorageUnavailable, UnknownBatch
from shared.domain.identifiers import BatchId, is_uuid
from shared.observability.logs import bind
from shared.presentation.objects import batch_object, listed_batch_object

router = APIRouter(prefix="/v1/batches", tags=["batches"], route_class=GuardedRoute)

_UNKNOWN: Final = (kinds.UNKNOWN_BATCH, kinds.STORAGE_UNAVAILABLE)
_REFUSALS: Final = (
    kinds.BAD_REQUEST,
    kinds.UNKNOWN_MODEL,
    kinds.UPLOAD_IN_PROGRESS,
    kinds.IMAGE_TOO_LARGE,
    kinds.UNSUPPORTED_IMAGE,
    kinds.INVALID_PARAMETER,
    kinds.IDEMPOTENCY_MISMATCH,
    kinds.STORAGE_UNAVAILABLE,
)
INCOMPLETE: Final = "Darkroom-Incomplete"
UNCOUNTED: Final = "postgres is away: how many have ended is not known"
UNLISTED: Final = "postgres is away: batches that have ended are not listed, and others not counted"


@router.post(
    "",
    summary="Predict many images",
    status_code=202,
    responses=responses.by_status(
        {200: schemas.BatchWithResults, 202: schemas.Batch},
        *_REFUSALS,
        headers=responses.LOCATION | responses.WAITED,
    ),
    openapi_extra=requests.bulk_upload(),
)
async def create(request: Request) -> Response:
    """Accept many images: files, an archive or NDJSON. The answer comes when every one of them is in the queue.

    With `Prefer: wait` it is a 200 with the results of all, where they come in time and are of 256 images at most.
    """
    gate, owner, wait = gateway(request), caller(request).owner, preferred_wait(request)
    accepted = await accept_upload(request)
    headers = {"Location": f"{base_url(request)}/v1/batches/{accepted.id}"}
    batch = await find_batch(gate, accepted.id, owner=owner)
    if wait and is_small(accepted, batch):
        headers |= preference_applied(wait)
        waited = await wait_for_results(
            gate, accepted, batch, deadline=answer_deadline(wait), base_url=base_url(request)
        )
        if waited:
            return _answer(request, waited.batch, headers=headers, results=waited.results)
        with contextlib.suppress(StorageUnavailable):
            batch = await find_batch(gate, accepted.id, owner=owner)
    return _answer(request, batch, status_code=202, headers=headers)


@router.get(
    "",
    summary="List batches",
    responses=responses.by_status({200: schemas.BatchList}, kinds.INVALID_PARAMETER, kinds.STORAGE_UNAVAILABLE),
)
async def index(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """Return the caller's batches, newest first, those still being read included."""
    check_cursor(cursor)
    gate, base = gateway(request), base_url(request)
    before = BatchId(cursor) if cursor else None
    found, is_whole = await list_batches(gate, owner=caller(request).owner, before=before, limit=limit + 1)
    answer = page_answer(
        request, found, partial(listed_batch_object, base_url=base, tokens=gate.tokens), path="/v1/batches", limit=limit
    )
    if not is_whole:
        answer.headers[INCOMPLETE] = UNLISTED
    return answer


@router.get("/{id}", summary="Read a batch", responses=responses.by_status({200: schemas.Batch}, *_UNKNOWN))
async def read(request: Request, id: str) -> Response:
    """Return a batch as it is: its state and how many of its images have ended, and how."""
    return _answer(request, await find_batch(gateway(request), _asked(id), owner=caller(request).owner))


@router.get(
    "/{id}/results",
    summary="Read a batch's results",
    response_class=StreamingResponse,
    responses=responses.results(*_UNKNOWN, kinds.INVALID_PARAMETER),
)
async def results(
    request: Request, id: str, format: Annotated[Literal["ndjson", "csv"], Query()] = "ndjson"
) -> Response:
    """Send a line an image that has ended, in upload order."""
    gate, base = gateway(request), base_url(request)
    batch = await find_batch(gate, _asked(id), owner=caller(request).owner)
    if not batch.counted:  # before the first byte of an answer that would break off
        raise StorageUnavailable(store="postgres", retry_after=timedelta(seconds=2))
    if format == "csv":
        columns = await read_columns(gate, batch)
        write, header = partial(as_csv, columns=columns, base_url=base), csv_header(columns=columns)
        return StreamingResponse(result_lines(gate, batch, write, header=header), media_type=CSV)
    return StreamingResponse(result_lines(gate, batch, partial(as_ndjson, base_url=base)), media_type=NDJSON)


@router.get(
    "/{id}/stream",
    summary="Follow a batch",
    response_class=StreamingResponse,
    responses=responses.stream(kinds.UNKNOWN_BATCH, "progress", "done", example=responses.BATCH_EVENTS),
    openapi_extra=requests.streaming(),
)
@takes_token
async def stream(request: Request, id: str) -> Response:
    """Send server-sent events until the batch has ended: `progress` with its counts, then `done`."""
    gate, batch_id = gateway(request), _asked(id)
    batch = await find_batch(gate, batch_id, owner=follower(request))
    if told_everything(batch, last_event=request.headers.get("last-event-id", "")):
        return Response(status_code=204)
    return event_stream(request, batch_events(gate, batch))


@router.post("/{id}/cancel", summary="Cancel a batch", responses=responses.by_status({200: schemas.Batch}, *_UNKNOWN))
async def cancel(request: Request, id: str) -> Response:
    """Cancel what has not ended, at once and for ever; a batch that has ended stays as it is."""
    gate, owner = gateway(request), caller(request).owner
    batch = await find_batch(gate, _asked(id), owner=owner)
    if not batch.has_ended:
        await gate.producer.batches.cancel(batch.id, mode="user")
        batch = await find_batch(gate, batch.id, owner=owner)
    return _answer(request, batch)


@router.post(
    "/{id}/retry",
    summary="Retry a batch's failures",
    status_code=202,
    responses=responses.by_status(
        {202: schemas.Batch},
        kinds.UNKNOWN_BATCH,
        kinds.NOTHING_FAILED,
        kinds.IMAGE_GONE,
        kinds.UNKNOWN_MODEL,
        kinds.UPLOAD_IN_PROGRESS,
        kinds.IMAGE_TOO_LARGE,
        kinds.INVALID_PARAMETER,
        kinds.IDEMPOTENCY_MISMATCH,
        kinds.STORAGE_UNAVAILABLE,
        headers=responses.LOCATION,
    ),
    openapi_extra=requests.retrying(waits=False),
)
async def retry(request: Request, id: str) -> Response:
    """Predict the failed images of a batch that has ended again, as a new batch (`retry_of`).

    Those whose image is no longer kept are left out: `skipped` counts and `skipped_files` names them.
    """
    gate, owner = gateway(request), caller(request).owner
    made = await retry_batch(request, _asked(id))
    headers = {"Location": f"{base_url(request)}/v1/batches/{made}"}
    return _answer(request, await find_batch(gate, made, owner=owner), status_code=202, headers=headers)


def _asked(id: str) -> BatchId:
    """Return the id in a path; raises UnknownBatch where it can't be one."""
    if not is_uuid(id):
        raise UnknownBatch(id=id)
    bind(batch_id=id)
    return BatchId(id)


def _answer(
    request: Request,
    batch: Batch,
    *,
    status_code: int = 200,
    headers: dict[str, str] | None = None,
    results: list[orjson.Fragment] | None = None,
) -> Response:
    body: dict[str, Any] = batch_object(batch, base_url=base_url(request), tokens=gateway(request).tokens)
    if results is not None:
        body["results"] = results
    said = {} if batch.counted else {INCOMPLETE: UNCOUNTED}
    return JSONResponse(body, status_code=status_code, headers=said | (headers or {}))
