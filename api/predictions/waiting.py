"""Answering when a prediction has ended, for clients that ask for it with `Prefer: wait`."""

import asyncio
from datetime import timedelta
from typing import Final

from fastapi import Request

from api.http.request_facts import header
from api.http.request_headers import parse_prefer_wait
from api.predictions.lookup import refresh_prediction
from api.state.gateway import Gateway
from api.state.job_waiters import FALLBACK, wait_for_event
from shared.domain.job import Job

ANSWER_MARGIN: Final = timedelta(milliseconds=100)
"""The answer is sent so long before the client's time is over, so that it arrives within it."""


def preferred_wait(request: Request) -> timedelta | None:
    """Return how long the client wants to wait; several `Prefer` lines count as one (RFC 7240, section 2)."""
    if header(request, b"prefer") is None:
        return None
    return parse_prefer_wait(",".join(request.headers.getlist("prefer")))


def answer_deadline(wait: timedelta) -> float:
    """Return when a wait that begins now has to be answered, by the event loop's clock."""
    return asyncio.get_running_loop().time() + (wait - ANSWER_MARGIN).total_seconds()


async def wait_for_prediction(gate: Gateway, job: Job, *, ended: asyncio.Event, deadline: float) -> Job:
    """Return the job once it has ended, or as it is at `deadline` or when the gateway stops; `ended` is a hint."""
    loop = asyncio.get_running_loop()
    while not job.status.is_terminal and (left := deadline - loop.time()) > 0 and not gate.draining.is_over:
        await wait_for_event(ended, min(FALLBACK, timedelta(seconds=left)))
        job = await refresh_prediction(gate, job)
    return job
