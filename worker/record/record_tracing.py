"""Spans of predictions whose rows are committed, in the traces of their requests."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from shared.domain.prediction import Source, Status
from shared.observability.tracing.harmless import harmless
from worker.record.ended import Ended

if TYPE_CHECKING:
    from shared.observability.tracing.spans import Attributes, Tracing

_NOT_COMPUTED: Final = (Status.CANCELED, Source.COALESCED)
"""How predictions end that no worker made spans of: canceled ones, and those that shared another's computation."""


class RecordTracing:
    """Makes a span of each recorded prediction that has a trace; threads may share it."""

    def __init__(self, tracing: "Tracing") -> None:
        self._tracing = tracing

    def committed(self, predictions: Sequence[Ended], *, seconds: float) -> None:
        """Make the spans of those that have a trace; all were committed just now, in `seconds`. Raises nothing."""
        for one in predictions:
            if one.request.trace:
                with harmless():
                    self._make(one, rows=len(predictions), seconds=seconds)

    def _make(self, ended: Ended, *, rows: int, seconds: float) -> None:
        parent, state, source = ended.request.trace, ended.state or "", ended.source or ""
        now = time.time_ns()
        if state in _NOT_COMPUTED or source in _NOT_COMPUTED:
            waited = {"darkroom.source": source, "darkroom.status": state}
            queued = self._tracing.start(
                f"queue {ended.request.model}", parent=parent, at=ended.created * 1000, attributes=waited
            )
            queued.end(ended.completed * 1000)
        attributes: Attributes = {
            "db.system.name": "postgresql",
            "db.operation.batch.size": rows,
            "darkroom.prediction_id": ended.id or "",
            "darkroom.status": state,
            "darkroom.source": source,
        }
        span = self._tracing.start(
            "record", parent=parent, at=now - int(seconds * 1_000_000_000), attributes=attributes
        )
        if ended.code:
            span.set({"darkroom.error_code": ended.code})
        span.end(now)
