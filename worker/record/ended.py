"""A recorded prediction as its observers read it: the text of its record, parsed once for all of them."""

from typing import Final, NamedTuple, Self

from shared.domain.job_request import JobRequest
from shared.queue.job_records import parse_request
from shared.storage.recording import Record

_TEXTS: Final = (b"id", b"owner", b"batch", b"state", b"source", b"code", b"error")
_NUMBERS: Final = (b"created", b"started", b"completed", b"attempts")


class Ended(NamedTuple):
    """One prediction; instants in microseconds. A text is None, and a number 0, where the record has none."""

    request: JobRequest
    id: str | None
    owner: str | None
    batch: str | None
    state: str | None
    source: str | None
    code: str | None
    error: str | None
    created: int
    started: int
    completed: int
    attempts: int
    output: bytes | None

    @classmethod
    def read(cls, record: Record) -> Self:
        """Return a record's prediction; its request is empty if it can't be read, as where it was stored without it."""
        get = record.get
        id, owner, batch, state, source, code, error = [
            value.decode(errors="replace") if (value := get(name)) else None for name in _TEXTS
        ]
        created, started, completed, attempts = [int(get(name) or 0) for name in _NUMBERS]
        request, output = _request(get(b"request", b"")), get(b"output")
        return cls(request, id, owner, batch, state, source, code, error, created, started, completed, attempts, output)


def _request(data: bytes) -> JobRequest:
    try:
        return parse_request(data)
    except (AttributeError, KeyError, TypeError, ValueError):
        return JobRequest.read({})
