"""Spans of predictions whose rows are committed, in the traces of their requests."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from shared.domain.job_request import JobRequest
from shared.domain.prediction import Source, Status
from shared.observability.tracing.harmless import harmless

if TYPE_CHECKING:
    from shared.observability.tracing.spans import Attributes, Tracing

Record = Mapping[bytes, bytes]

_NOT_COMPUTED: Final = (Status.CANCELED, Source.COALESCED)
"""How predictions end that no worker made spans of: canceled ones, and those that shared another's computation."""


class RecordTracing:
    """Makes a span of each recorded prediction that has a trace; threads may share it."""

    def __init__(self, tracing: "Tracing") -> None:
        self._tracing = tracing

    def committed(self, records: Sequence[Record], requests: Sequence[JobRequest], *, seconds: float) -> None:
        """Make the spans of those that have a trace; all were committed just now, in `seconds`. Raises nothing."""
        for record, request in zip(records, requests, strict=True):
            if request.trace:
                with harmless():
                    self._make(record, request, rows=len(records), seconds=seconds)

    def _make(self, record: Record, request: JobRequest, *, rows: int, seconds: float) -> None:
        state, source = record[b"state"].decode(), record[b"source"].decode()
        now = time.time_ns()
        if state in _NOT_COMPUTED or source in _NOT_COMPUTED:
            created, completed = int(record[b"created"]) * 1000, int(record[b"completed"]) * 1000
            waited = {"darkroom.source": source, "darkroom.status": state}
            self._tracing.start(f"queue {request.model}", parent=request.trace, at=created, attributes=waited).end(
                completed
            )
        attributes: Attributes = {
            "db.system.name": "postgresql",
            "db.operation.batch.size": rows,
            "darkroom.prediction_id": record[b"id"].decode(),
            "darkroom.status": state,
            "darkroom.source": source,
        }
        span = self._tracing.start(
            "record", parent=request.trace, at=now - int(seconds * 1_000_000_000), attributes=attributes
        )
        if code := record.get(b"code"):
            span.set({"darkroom.error_code": code.decode()})
        span.end(now)
