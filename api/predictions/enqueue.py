"""Put one checked submission into the queue, and say what became of it."""

from api.http.ratelimit import rate_limit_headers
from api.predictions.lookup import find_prediction
from api.state.gateway import Gateway
from api.state.submission_counter import outcome_of
from shared.domain.errors import QueueFull, RateLimited, StorageUnavailable, SubmitUncertain
from shared.domain.job import Job
from shared.domain.job_request import JobRequest
from shared.domain.key_limits import Limits
from shared.domain.prediction import Source, Status
from shared.observability.logs import bind
from shared.queue.producer.submission import Answer, Hit, Known, Queued, Submission


async def enqueue(gate: Gateway, submission: Submission, limits: Limits) -> tuple[Job, dict[str, str]]:
    """Put the job into the queue; return it as it stands, and the headers that say what is left of `limits`.

    Raises QueueFull, RateLimited, IdempotencyMismatch, StorageUnavailable; SubmitUncertain where Redis gave no answer.
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
    """Return the job that an answer of the queue's is about; only a known one is read from Redis."""
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
        case Hit(created) as hit:
            return Job(
                id=submission.id,
                owner=submission.owner,
                batch=submission.batch,
                status=Status.SUCCEEDED,
                request=request,
                created=created,
                completed=created,
                source=Source.CACHE,
                output=hit.read_output,
            )
        case Known(id):
            return await find_prediction(gate, id, owner=submission.owner)
