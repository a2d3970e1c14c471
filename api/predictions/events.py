"""Server-sent events of one prediction, in Replicate's types: logs, output, error, done."""

from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from api.http.event_stream import KEEPALIVE
from api.predictions.lookup import refresh_prediction
from api.state.gateway import Gateway
from api.state.job_waiters import wait_for_event
from api.state.open_streams import POLL
from shared.domain.job import Job
from shared.domain.large_masks import shown_output
from shared.domain.prediction import Status

# Ids of the events: a client that reconnects gets those after its last one.
STARTING, PROCESSING, RESULT, DONE = 1, 2, 3, 4


def told_everything(job: Job, *, after: int) -> bool:
    """Tell whether a client that has read event `after` has read the whole stream."""
    return job.status.is_terminal and after >= DONE


async def prediction_events(gate: Gateway, job: Job, *, after: int, base_url: str) -> AsyncIterator[bytes]:
    """Yield the events after number `after` until the prediction ends or the gateway stops; a comment after 15 s."""
    with gate.open_streams.one_more(job.owner), gate.waiters.listen(job.id) as ended:
        last, silent, unread = after, timedelta(0), timedelta(0)
        while True:
            for number, event in _happened(job, base_url=base_url):
                if number > last:
                    last, silent = number, timedelta(0)
                    yield event
            if job.status.is_terminal or gate.draining.is_over:
                return
            # Only the end is announced: that a worker has begun is found by reading.
            has_ended = await wait_for_event(ended, POLL)
            silent, unread = silent + POLL, unread + POLL
            if silent >= KEEPALIVE:
                silent = timedelta(0)
                yield KEEPALIVE_COMMENT
            if has_ended or unread >= gate.open_streams.pause(job.owner):
                unread = timedelta(0)
                job = await refresh_prediction(gate, job)


def _happened(job: Job, *, base_url: str) -> list[tuple[int, bytes]]:
    """Return every event up to the job's present state, numbered."""
    told = [(STARTING, _event("logs", Status.STARTING, STARTING))]
    if job.status is not Status.STARTING and job.started is not None:
        told.append((PROCESSING, _event("logs", Status.PROCESSING, PROCESSING)))
    if not job.status.is_terminal:
        return told
    done = "{}"
    if job.status is Status.SUCCEEDED:
        output = shown_output(job.output, url=f"{base_url}/v1/predictions/{job.id}")
        told.append((RESULT, _event("output", orjson.dumps(output).decode(), RESULT)))
    elif job.status is Status.FAILED:
        told.append((RESULT, _event("error", job.error or "", RESULT)))
        done = '{"reason": "error"}'
    else:
        done = '{"reason": "canceled"}'
    return [*told, (DONE, _event("done", done, DONE))]


def _event(kind: str, data: str, number: int) -> bytes:
    return format_sse_event(event=kind, data_str=data, id=str(number))
