"""One upload on its way to an answer: resolve the model, check the image, enqueue, and wait if asked to."""

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import orjson
from fastapi import Request, Response

from api.edge.auth import caller
from api.http.json import JSONResponse
from api.http.ratelimit import rate_limit_headers, refuse_early
from api.http.request_facts import request_id
from api.http.request_headers import parse_cancel_after, parse_prefer_wait, read_idempotency_key
from api.predictions.lookup import find_prediction, refresh_prediction
from api.state.gateway import Gateway, base_url, gateway
from api.state.job_waiters import FALLBACK, wait_for_event
from api.state.large_work import off_the_loop
from api.state.submission_counter import outcome_of
from api.uploads.bodies import Upload, read_prediction
from api.uploads.image_check import check_image
from api.uploads.submission_fields import asked_model
from shared.domain.errors import (
    InvalidParameter,
    QueueFull,
    RateLimited,
    StorageUnavailable,
    SubmitUncertain,
    UnknownPrediction,
)
from shared.domain.identifiers import Owner, PredictionId, new_uuid7
from shared.domain.job import Job
from shared.domain.job_request import JobRequest
from shared.domain.key_limits import Limits
from shared.domain.prediction import Source, Status
from shared.observability.logs import bind
from shared.presentation.objects import prediction_object
from shared.queue.producer.submission import (
    INTERACTIVE,
    Answer,
    Hit,
    Known,
    Queued,
    Submission,
    bulk_lane,
    fingerprint,
    heavy_lane,
)

# The answer has to be on its way before the client's own N seconds are over.
ANSWER_MARGIN = timedelta(milliseconds=100)


async def submit(request: Request, *, model: str | None = None) -> Response:
    """Accept one image and answer with its prediction: 202 while it waits, 200 when it has ended.

    `model` is the reference in the path, where there is one. Raises the contract's errors; then nothing is enqueued,
    but for SubmitUncertain. A client that leaves does not take its job with it.
    """
    gate, who = gateway(request), caller(request)
    wait = preferred_wait(request)
    await refuse_early(request, gate, who)
    if wait is None:
        with gate.body_memory.hold(who.owner) as hold:
            upload = await read_prediction(request, limits=gate.intake, hold=hold)
            submission = await _submission(request, gate, upload, model)
            job, left = await _enqueue(gate, submission, who.limits)
        return _answer(gate, job, submission.base_url, headers=left)
    with ExitStack() as until_answered:
        with gate.body_memory.hold(who.owner) as hold:
            upload = await read_prediction(request, limits=gate.intake, hold=hold)
            give_up = asyncio.get_running_loop().time() + (wait - ANSWER_MARGIN).total_seconds()
            submission = await _submission(request, gate, upload, model)
            ended = until_answered.enter_context(gate.waiters.listen(submission.id))
            job, left = await _enqueue(gate, submission, who.limits)
        # Their image would lie in memory for as long as somebody waits.
        submission, upload = replace(submission, image=b""), None  # type: ignore[assignment]
        try:
            job = await wait_for(gate, job, ended=ended, give_up=give_up)
        except UnknownPrediction:
            # Accepted, and gone with a Redis that lost its last second.
            raise SubmitUncertain(id=submission.id, retry_after=timedelta(seconds=2)) from None
    return _answer(gate, job, submission.base_url, headers={**left, "Preference-Applied": f"wait={wait.seconds}"})


def preferred_wait(request: Request) -> timedelta | None:
    """Return how long the client would wait; several `Prefer` lines count as one (RFC 7240, section 2)."""
    return parse_prefer_wait(",".join(request.headers.getlist("prefer")))


async def wait_for(gate: Gateway, job: Job, *, ended: asyncio.Event, give_up: float) -> Job:
    """Return the job once it has ended, or as it is at `give_up` (the event loop's clock) or the gateway's end."""
    loop = asyncio.get_running_loop()
    while not job.status.is_terminal and (left := give_up - loop.time()) > 0 and not gate.draining.is_over:
        await wait_for_event(ended, min(FALLBACK, timedelta(seconds=left)))
        job = await refresh_prediction(gate, job)
    return job


async def _submission(request: Request, gate: Gateway, upload: Upload, model: str | None) -> Submission:
    """Check everything that can be refused."""
    owner, fields, headers = caller(request).owner, upload.fields, request.headers
    reference = asked_model(model or fields.model, fields.version)
    route = await gate.models.for_reference(reference)
    bind(model=route.model)
    image, filename, content_type = upload.image, upload.filename, upload.content_type
    if fields.file_reference is not None:
        stored = await gate.producer.files.content(owner, fields.file_reference)
        image, filename, content_type = stored.content, stored.name, stored.content_type
    facts = await off_the_loop(
        len(image), check_image, image, filename=filename, content_type=content_type, limits=gate.intake
    )
    cancel_after = headers.get("cancel-after")
    submission = Submission(
        id=PredictionId(new_uuid7()),
        owner=owner,
        choice=route.choose(reference, digest=facts.sha256),
        image=image,
        facts=facts,
        metadata=fields.metadata,
        base_url=base_url(request),
        lane=_lane(owner, fields.priority, heavy=facts.heavy),
        cancel_after=None if cancel_after is None else _cancel_after(cancel_after),
        webhook=fields.webhook,
        request_id=request_id(request),
    )
    key = headers.get("idempotency-key")
    if key is None:
        return submission
    return replace(
        submission, idempotency_key=read_idempotency_key(key), fingerprint=fingerprint(submission, reference)
    )


def _lane(owner: Owner, priority: str, *, heavy: bool) -> str:
    """Return the lane for one image: those that take long to decode never stand before others' images."""
    if heavy:
        return heavy_lane(owner)
    return INTERACTIVE if priority == "interactive" else bulk_lane(owner)


def _cancel_after(text: str) -> timedelta:
    try:
        return parse_cancel_after(text)
    except ValueError as error:
        raise InvalidParameter(detail=str(error), pointer="Cancel-After") from None


async def _enqueue(gate: Gateway, submission: Submission, limits: Limits) -> tuple[Job, dict[str, str]]:
    """Put the job into the queue; return it as it stands, and what is left of the caller's limits as headers.

    Raises SubmitUncertain where Redis gave no answer.
    """
    request, model = submission.request(), submission.choice.model
    try:
        answer, left = await gate.producer.jobs.submit(
            submission, request, settings=gate.queue, memory_is_high=gate.redis_memory.high, limits=limits
        )
    except StorageUnavailable as error:
        bind(prediction_id=submission.id)
        if error.certain:
            raise
        raise SubmitUncertain(id=submission.id, retry_after=error.retry_after, reason=error.reason) from None
    except QueueFull:
        gate.submissions.count(model, "refused")
        raise
    except RateLimited:
        gate.submissions.count(model, "limited")
        raise
    gate.submissions.count(model, outcome_of(submission, answer))
    bind(prediction_id=answer.id if isinstance(answer, Known) else submission.id)
    return await _job(gate, submission, request, answer), rate_limit_headers(limits, left)


async def _job(gate: Gateway, submission: Submission, request: JobRequest, answer: Answer) -> Job:
    """Return the job behind an answer; a new one needs no second look at Redis."""
    match answer:
        case Queued(created):
            return Job(
                id=submission.id,
                owner=submission.owner,
                batch=submission.batch,
                status=Status.STARTING,
                request=request,
                created=created,
            )
        case Hit(created, output):
            return Job(
                id=submission.id,
                owner=submission.owner,
                batch=submission.batch,
                status=Status.SUCCEEDED,
                request=request,
                created=created,
                completed=created,
                source=Source.CACHE,
                output=orjson.Fragment(output),
            )
        case Known(id):
            return await find_prediction(gate, id, owner=submission.owner)


def _answer(gate: Gateway, job: Job, base: str, *, headers: dict[str, str]) -> Response:
    """Write the answer; clients take any status but `starting` as the end, so a POST never says `processing`."""
    if job.status is Status.PROCESSING:
        job = replace(job, status=Status.STARTING, started=None)
    body = prediction_object(job, base_url=base, tokens=gate.tokens)
    headers = {"Location": f"{base}/v1/predictions/{job.id}", **headers}
    return JSONResponse(body, status_code=200 if job.status.is_terminal else 202, headers=headers)
