"""Routes of feedback: give it for one prediction, as CSV for many or for a batch's, and list it."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from api import schemas
from api.batches.lookup import find_batch
from api.edge.auth import caller
from api.edge.guard import GuardedRoute
from api.feedback.answers import check_fit, read_answer
from api.feedback.giving import (
    BYTES_A_CUSTOM_ID,
    CsvFeedback,
    are_known,
    given_to_job,
    key_digest,
    known_classes,
    plain_output,
)
from api.http import problem_kinds as kinds
from api.http.json import JSONResponse
from api.http.paging import Cursor, Limit, check_cursor, page_answer
from api.http.request_facts import trace_of
from api.http.request_headers import read_idempotency_key
from api.openapi import requests, responses
from api.predictions.lookup import find_prediction
from api.state.gateway import gateway
from api.state.large_work import off_the_loop
from api.state.postgres import ask_postgres
from api.state.postgres_pages import read_rows
from api.uploads.bodies import read_body
from api.uploads.submission_fields import read_json_object
from shared.domain.batch import Batch
from shared.domain.errors import (
    BadRequest,
    IdempotencyMismatch,
    PredictionNotEnded,
    UnknownBatch,
    UnknownPrediction,
    UploadTooLarge,
)
from shared.domain.feedback import Feedback
from shared.domain.identifiers import BatchId, FeedbackId, PredictionId, is_uuid
from shared.observability.logs import bind
from shared.storage import feedback as storage

router = APIRouter(prefix="/v1", tags=["feedback"], route_class=GuardedRoute)

LARGEST_BODY: Final = 128 * 1024
"""Bytes of one answer as JSON."""
LARGEST_CSV: Final = 256 * 1024 * 1024
CSV_TYPES: Final = frozenset({"text/csv", "application/csv", "text/plain"})
_CSV_REFUSALS: Final = (kinds.BAD_REQUEST, kinds.IMAGE_TOO_LARGE, kinds.INVALID_PARAMETER, kinds.STORAGE_UNAVAILABLE)


@router.post(
    "/predictions/{id}/feedback",
    summary="Say what a prediction's right answer is",
    status_code=201,
    responses=responses.by_status(
        {200: schemas.GivenFeedback, 201: schemas.GivenFeedback},
        kinds.BAD_REQUEST,
        kinds.UNKNOWN_PREDICTION,
        kinds.PREDICTION_NOT_ENDED,
        kinds.IMAGE_TOO_LARGE,
        kinds.INVALID_PARAMETER,
        kinds.IDEMPOTENCY_MISMATCH,
        kinds.STORAGE_UNAVAILABLE,
    ),
    openapi_extra=requests.feedback(),
)
async def give(request: Request, id: str) -> Response:
    """Take an answer: a label, a value or boxes. Any number may be given; the last counts.

    200 where it is what counts already. A class that the model does not know is taken: `known` is false.
    """
    gate, owner, prediction = gateway(request), caller(request).owner, _asked(id)
    key = _key(request)
    job = await find_prediction(gate, prediction, owner=owner)
    if not job.status.is_terminal:
        raise PredictionNotEnded(id=prediction, state=job.status)
    with gate.body_memory.hold(owner) as hold:
        body = await read_body(request, most=LARGEST_BODY, hold=hold)
        answer = read_answer((await off_the_loop(len(body), read_json_object, body)).members)
    classes = await known_classes(gate, job.request.model, job.request.version)
    check_fit(answer, plain_output(job))
    given = given_to_job(job, answer, key=key_digest(key) if key else None)
    trace = trace_of(request.scope)
    [taken] = await ask_postgres(gate, partial(storage.give_feedback, owner=owner, given=[given], trace=trace))
    if taken.id is None:
        raise UnknownPrediction(id=prediction)
    if taken.became == "mismatch":
        raise IdempotencyMismatch(key=key or "", first_id=taken.id)
    row = await ask_postgres(
        gate, lambda connection: storage.find_feedback(connection, FeedbackId(taken.id or ""), owner)
    )
    if row is None:
        raise UnknownPrediction(id=prediction)
    made = row.as_json() | {"known": are_known(answer, classes)}
    return JSONResponse(made, status_code=201 if taken.became == "created" else 200)


@router.get(
    "/predictions/{id}/feedback",
    summary="List a prediction's feedback",
    responses=responses.by_status(
        {200: schemas.FeedbackList}, kinds.UNKNOWN_PREDICTION, kinds.INVALID_PARAMETER, kinds.STORAGE_UNAVAILABLE
    ),
)
async def index(request: Request, id: str, cursor: Cursor = None, limit: Limit = 100) -> Response:
    """Return every answer that was given, the one that counts first."""
    check_cursor(cursor)
    gate, owner, prediction = gateway(request), caller(request).owner, _asked(id)
    await find_prediction(gate, prediction, owner=owner)
    ask = partial(storage.list_feedback, owner=owner, prediction=prediction)
    found = await read_rows(gate, owner, ask, before=cursor, limit=limit + 1)
    return page_answer(request, found, Feedback.as_json, path=f"/v1/predictions/{prediction}/feedback", limit=limit)


@router.post(
    "/feedback",
    summary="Say what many predictions' right answers are",
    responses=responses.by_status({200: schemas.FeedbackSummary}, *_CSV_REFUSALS),
    openapi_extra=requests.feedback_csv("id"),
)
async def give_many(request: Request) -> Response:
    """Take a CSV with an `id` and a `label`, `value` or `boxes` a line, of any of the caller's predictions.

    Lines are committed 500 at a time: one that is refused keeps no other from being used, and the answer says why it
    was. Sending all of it again is safe.
    """
    return await _give_csv(request, None)


@router.post(
    "/batches/{id}/feedback",
    summary="Say what a batch's right answers are",
    responses=responses.by_status({200: schemas.FeedbackSummary}, *_CSV_REFUSALS, kinds.UNKNOWN_BATCH),
    openapi_extra=requests.feedback_csv("id` or `custom_id"),
)
async def give_batch(request: Request, id: str) -> Response:
    """Take a CSV with an `id` or `custom_id` and a `label`, `value` or `boxes` a line, of this batch's images.

    Lines are committed 500 at a time: one that is refused keeps no other from being used, and the answer says why it
    was. Sending all of it again is safe.
    """
    if not is_uuid(id):
        raise UnknownBatch(id=id)
    bind(batch_id=id)
    return await _give_csv(request, await find_batch(gateway(request), BatchId(id), owner=caller(request).owner))


async def _give_csv(request: Request, batch: Batch | None) -> Response:
    gate, owner = gateway(request), caller(request).owner
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in CSV_TYPES:
        raise BadRequest(detail=f"feedback on many is text/csv, this is {kind[:80] or 'a body without Content-Type'}")
    taking = CsvFeedback(gate, owner, batch=batch, key=_key(request), trace=trace_of(request.scope))
    with gate.body_memory.hold(owner) as hold:
        hold.take(2 * LARGEST_BODY + (batch.total * BYTES_A_CUSTOM_ID if batch else 0))
        await taking.give(_chunks(request))
    return JSONResponse(taking.summary.as_json())


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """Yield the body; raises BadRequest for an empty one, UploadTooLarge by the declared length already."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > LARGEST_CSV:
        raise UploadTooLarge(size=int(declared), limit=LARGEST_CSV)
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > LARGEST_CSV:
                raise UploadTooLarge(size=size, limit=LARGEST_CSV)
            yield chunk
    except ClientDisconnect:
        raise BadRequest(detail="the body breaks off") from None
    if not size:
        raise BadRequest(detail="the body is empty")


def _asked(id: str) -> PredictionId:
    if not is_uuid(id):
        raise UnknownPrediction(id=id)
    bind(prediction_id=id)
    return PredictionId(id)


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    return None if key is None else read_idempotency_key(key)
