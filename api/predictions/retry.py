"""Retry a prediction that failed: a new one of the same image, model, metadata and webhook, with an id of its own.

The image is read where the queue keeps those of failures (`keep_failed` in common.lua) and stays there for its time, so
a retry may be repeated. Killed at any line, either nothing was submitted or the new prediction is a job like any other:
submitting is one script call. A retry without an Idempotency-Key that is sent twice makes two predictions.
"""

from contextlib import ExitStack
from dataclasses import replace
from typing import Final

import orjson
from fastapi import Request, Response

from api.edge.auth import caller
from api.http.preferred_wait import answer_deadline, preferred_wait
from api.http.ratelimit import refuse_early
from api.http.request_facts import header, note_earlier_trace, request_id, trace_of
from api.http.request_headers import read_cancel_after, read_idempotency_key
from api.predictions.enqueue import enqueue
from api.predictions.lookup import find_prediction
from api.predictions.submit import answer_submission, lane_of
from api.state.asked_models import models_asked_again
from api.state.gateway import Gateway, base_url, gateway
from api.state.large_work import off_the_loop
from api.uploads.image_check import check_image
from shared.domain.errors import ImageGone, NothingFailed
from shared.domain.identifiers import PredictionId, new_uuid7
from shared.domain.job import Job
from shared.domain.prediction import Status
from shared.observability.logs import bind
from shared.queue.producer.submission import Submission

PRIORITY: Final = "interactive"
"""Somebody asks for it now, also where the image came in a batch."""


async def retry_prediction(request: Request, id: PredictionId) -> Response:
    """Answer with the new prediction as a submission's answer does.

    Raises UnknownPrediction, NothingFailed, ImageGone, and what a submission raises.
    """
    gate, who, wait = gateway(request), caller(request), preferred_wait(request)
    await refuse_early(request, gate, who)
    failed = await find_prediction(gate, id, owner=who.owner)
    if failed.status is not Status.FAILED:
        raise NothingFailed(kind="prediction", id=id, state=failed.status)
    note_earlier_trace(request.scope, failed.request.trace)
    with ExitStack() as until_answered:
        with gate.body_memory.hold(who.owner) as hold:
            hold.take(failed.request.image.bytes)
            submission = await _submission(request, gate, failed)
            deadline = answer_deadline(wait) if wait else 0.0
            # Before the job is in the queue, so that its end is not missed.
            ended = until_answered.enter_context(gate.waiters.listen(submission.id)) if wait else None
            job, headers = await enqueue(gate, submission, who.limits)
        base = submission.base_url
        del submission
        return await answer_submission(gate, job, base, headers, wait=wait, ended=ended, deadline=deadline)


async def _submission(request: Request, gate: Gateway, failed: Job) -> Submission:
    """Return what is to be enqueued; raises ImageGone and the errors of the model, the image and the headers."""
    asked_for = failed.request
    digest = asked_for.image.sha256
    image = None if digest is None else await gate.producer.jobs.find_failed_image(failed.owner, digest)
    if image is None:
        raise ImageGone(kind="prediction", id=failed.id)
    asked = await models_asked_again(gate.models, asked_for.model, [asked_for.variant])
    bind(model=asked.model)
    facts = await off_the_loop(
        len(image), check_image, image, filename=asked_for.image.filename, content_type=None, limits=gate.intake
    )
    submission = Submission(
        id=PredictionId(new_uuid7()),
        owner=failed.owner,
        choice=asked.choose(facts.sha256),
        image=image,
        facts=facts,
        metadata=asked_for.metadata,
        base_url=base_url(request),
        lane=lane_of(failed.owner, PRIORITY, heavy=facts.heavy),
        custom_id=asked_for.custom_id,
        cancel_after=read_cancel_after(header(request, b"cancel-after")),
        webhook=asked_for.webhook,
        request_id=request_id(request),
        retry_of=failed.id,
        trace=trace_of(request.scope),
    )
    key = header(request, b"idempotency-key")
    if key is None:
        return submission
    after = submission.cancel_after.total_seconds() if submission.cancel_after else None
    same = orjson.dumps(["retry", failed.id, after]).decode()
    return replace(submission, idempotency_key=read_idempotency_key(key), fingerprint=same)
