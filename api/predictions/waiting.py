"""Answering when a prediction has ended, for clients that ask for it with `Prefer: wait`."""

import asyncio
from datetime import timedelta

from api.predictions.lookup import refresh_prediction
from api.state.gateway import Gateway
from api.state.job_waiters import FALLBACK, wait_for_event
from shared.domain.job import Job


async def wait_for_prediction(gate: Gateway, job: Job, *, ended: asyncio.Event, deadline: float) -> Job:
    """Return the job once it has ended, or as it is at `deadline` or when the gateway stops; `ended` is a hint."""
    loop = asyncio.get_running_loop()
    while not job.status.is_terminal and (left := deadline - loop.time()) > 0 and not gate.draining.is_over:
        await wait_for_event(ended, min(FALLBACK, timedelta(seconds=left)))
        job = await refresh_prediction(gate, job)
    return job
