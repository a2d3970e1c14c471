"""Submit one image: read it, resolve the model, check the image, enqueue it, and wait for the result if asked to."""

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

from fastapi import Request, Response

from api.edge.auth import caller
from api.http.json import JSONResponse
from api.http.preferred_wait import answer_deadline, preference_applied, preferred_wait
from api.http.ratelimit import refuse_early
from api.http.request_facts import header, request_id, trace_of
from api.http.request_headers import read_cancel_after, read_idempotency_key
from api.predictions.enqueue import enqueue
from api.predictions.waiting import wait_for_prediction
from api.state.asked_models import asked_models
from api.state.gateway import Gateway, base_url, gateway
from api.state.large_work import off_the_loop
from api.uploads.bodies import Upload, read_prediction
from api.uploads.image_check import check_image
from api.uploads.submission_fields import asked_model
from shared.domain.errors import SubmitUncertain, UnknownPrediction
from shared.domain.identifiers import Owner, PredictionId, new_uuid7
from shared.domain.job import Job
from shared.domain.prediction import Status
from shared.observability.logs import bind
from shared.presentation.objects import prediction_object
from shared.queue.producer.submission import INTERACTIVE, Submission, bulk_lane, fingerprint, heavy_lane


async def submit(request: Request, *, model: str | None = None) -> Response:
    """Accept one image and answer with its prediction: 202 while it waits, 200 when it has ended.

    `model` is the reference in the path, where there is one. Raises the contract's errors; after any of them but
    SubmitUncertain nothing is in the queue. A job goes on when its client leaves.
    """
    gate, who, wait = gateway(request), caller(request), preferred_wait(request)
    await refuse_early(request, gate, who)
    with ExitStack() as until_answered:
        with gate.body_memory.hold(who.owner) as hold:
            upload = await read_prediction(request, limits=gate.intake, hold=hold)
            deadline = answer_deadline(wait) if wait else 0.0
            submission = await _checked(request, gate, upload, model)
            # Before the job is in the queue, so that its end is not missed.
            ended = until_answered.enter_context(gate.waiters.listen(submission.id)) if wait else None
            job, headers = await enqueue(gate, submission, who.limits)
        base = submission.base_url
        # The image would lie in memory for as long as the client waits.
        del upload, submission
        return await answer_submission(gate, job, base, headers, wait=wait, ended=ended, deadline=deadline)


async def answer_submission(
    gate: Gateway,
    job: Job,
    base: str,
    headers: dict[str, str],
    *,
    wait: timedelta | None,
    ended: asyncio.Event | None,
    deadline: float,
) -> Response:
    """Return the answer with a job that was submitted, as it ends where the client waits for that.

    `base` is what its URLs begin with.
    """
    if wait and ended:
        job = await _wait(gate, job, ended=ended, deadline=deadline)
        headers |= preference_applied(wait)
    return _answer(gate, job, base, headers)


async def _checked(request: Request, gate: Gateway, upload: Upload, model: str | None) -> Submission:
    """Return what is to be enqueued; raises the contract's errors for the model, the image and the headers."""
    owner, fields = caller(request).owner, upload.fields
    reference = asked_model(model or fields.model, fields.version)
    asked = await asked_models(gate.models, reference, fields.pipeline)
    bind(model=asked.model)
    image, filename, content_type = upload.image, upload.filename, upload.content_type
    if fields.file_reference is not None:
        stored = await gate.producer.files.content(owner, fields.file_reference)
        image, filename, content_type = stored.content, stored.name, stored.content_type
    facts = await off_the_loop(
        len(image), check_image, image, filename=filename, content_type=content_type, limits=gate.intake
    )
    submission = Submission(
        id=PredictionId(new_uuid7()),
        owner=owner,
        choice=asked.choose(facts.sha256),
        image=image,
        facts=facts,
        metadata=fields.metadata,
        base_url=base_url(request),
        lane=lane_of(owner, fields.priority, heavy=facts.heavy),
        cancel_after=read_cancel_after(header(request, b"cancel-after")),
        webhook=fields.webhook,
        request_id=request_id(request),
        trace=trace_of(request.scope),
    )
    key = header(request, b"idempotency-key")
    if key is None:
        return submission
    return replace(
        submission, idempotency_key=read_idempotency_key(key), fingerprint=fingerprint(submission, asked.as_asked())
    )


def lane_of(owner: Owner, priority: str, *, heavy: bool) -> str:
    """Return the lane for one image; images that take long to decode have one of their own, and hold up no others."""
    if heavy:
        return heavy_lane(owner)
    return INTERACTIVE if priority == "interactive" else bulk_lane(owner)


async def _wait(gate: Gateway, job: Job, *, ended: asyncio.Event, deadline: float) -> Job:
    try:
        return await wait_for_prediction(gate, job, ended=ended, deadline=deadline)
    except UnknownPrediction:
        # It was accepted, and lost with a Redis that lost its last second.
        raise SubmitUncertain(id=job.id, retry_after=timedelta(seconds=2)) from None


def _answer(gate: Gateway, job: Job, base: str, headers: dict[str, str]) -> Response:
    """Return the prediction. Clients take any status but `starting` for the end, so this never says `processing`."""
    if job.status is Status.PROCESSING:
        job = replace(job, status=Status.STARTING, started=None)
    body = prediction_object(job, base_url=base, tokens=gate.tokens)
    headers = {"Location": f"{base}/v1/predictions/{job.id}", **headers}
    return JSONResponse(body, status_code=200 if job.status.is_terminal else 202, headers=headers)
