"""A prediction's whole state, whether read from Redis or from Postgres, and the one list of its record's fields."""

from typing import Any, Final

from shared.domain.identifiers import Owner, PredictionId
from shared.domain.job_request import JobRequest
from shared.domain.prediction import Source, Status
from shared.domain.records import record

RECORD_FIELDS: Final = (
    "id", "state", "owner", "batch", "request", "created", "started",
    "completed", "source", "output", "error", "code", "attempts", "run",
)  # fmt: skip
"""The fields of a job's record, in order.

They are the hash `job:<id>` (without `id`, which its key says), an entry of the stream `finished`, and the columns of
the recorder's table `intake`. The Lua scripts and the SQL have the same words, which tests compare with these. Times
are microseconds since 1970; `request` is a JobRequest as JSON, `run` an object with RUN_MEMBERS.
"""
RUN_MEMBERS: Final = ("batch_size", "predict_ms", "worker")
"""How a job was computed: images in its forward pass, how long that took, and the worker's name."""


@record(kw_only=True)
class Job:
    """One prediction. Times are microseconds since 1970; `output` is JSON's value, or a fragment of JSON."""

    id: PredictionId
    owner: Owner
    batch: str
    """The batch's id; empty where the prediction is no item of a batch."""
    status: Status
    request: JobRequest
    created: int
    started: int | None = None
    completed: int | None = None
    source: Source = Source.MODEL
    output: Any = None
    error: str | None = None
    code: str | None = None
    attempts: int = 0
    batch_size: int | None = None
    predict_ms: float | None = None
    worker: str | None = None
