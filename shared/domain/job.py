"""A prediction's whole state, wherever it was read from."""

from dataclasses import dataclass
from typing import Any

from shared.domain.identifiers import Owner, PredictionId
from shared.domain.prediction import Source, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One prediction. Times are microseconds since 1970; `request` is what was given at submission, as JSON."""

    id: PredictionId
    owner: Owner
    batch: str
    status: Status
    request: dict[str, Any]
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
