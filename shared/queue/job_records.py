"""A job's hash in Redis: its fields, and how they are read."""

from typing import Any, Final

import orjson

from shared.domain.identifiers import Owner, PredictionId
from shared.domain.job import RECORD_FIELDS, Job
from shared.domain.job_request import JobRequest
from shared.domain.large_masks import LARGEST_INLINE, without_large_mask
from shared.domain.prediction import Source, Status

FIELDS: Final = RECORD_FIELDS[1:]
"""What a job's hash has of its record: the id is in its key."""
OWN_FIELDS: Final = ("lane", "waiting", "entry", "deadline", "tell_start")
"""What it has besides, for the scripts alone: where it waits, until when, and whether its webhook wants the start."""


def write_request(request: JobRequest) -> bytes:
    """Return a request as it is kept with its job, as JSON."""
    return orjson.dumps(request.members())


def write_run(*, batch_size: int, predict_ms: float, worker: str) -> bytes:
    """Return how a job was computed, as it is kept with it: an object of RUN_MEMBERS."""
    return orjson.dumps({"batch_size": batch_size, "predict_ms": predict_ms, "worker": worker})


def read_output(data: bytes) -> Any:
    """Return an output as a fragment of JSON; one whose mask is large as an object without it."""
    return orjson.Fragment(data) if len(data) <= LARGEST_INLINE else without_large_mask(orjson.loads(data))


def parse_request(data: bytes) -> JobRequest:
    """Return the request that `write_request` wrote."""
    return JobRequest.read(orjson.loads(data))


def parse(id: PredictionId, reply: list[bytes | None]) -> Job | None:
    """Return the job of HMGET's reply for FIELDS, its output without a large mask; None where the hash is missing."""
    state, owner, batch, request, created, started, completed, source, output, error, code, attempts, run = reply
    if state is None or owner is None or request is None or created is None:
        return None
    facts = orjson.loads(run) if run else {}
    return Job(
        id=id,
        owner=Owner(owner.decode()),
        batch=(batch or b"").decode(),
        status=Status(state.decode()),
        request=parse_request(request),
        created=int(created),
        started=int(started) if started else None,
        completed=int(completed) if completed else None,
        source=Source((source or b"model").decode()),
        output=read_output(output) if output else None,
        error=error.decode() if error else None,
        code=code.decode() if code else None,
        attempts=int(attempts or 0),
        batch_size=facts.get("batch_size"),
        predict_ms=facts.get("predict_ms"),
        worker=facts.get("worker"),
    )
