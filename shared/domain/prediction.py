"""A prediction's states and the moves between them; Lua and SQL use the same words."""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Where a prediction is."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_terminal(self) -> bool:
        """Terminal is for ever."""
        return not MOVES[self]


MOVES: Final[dict[Status, frozenset[Status]]] = {
    # A cache hit succeeds and a deadline cancels without ever processing; a job whose
    # workers keep dying fails from either state.
    Status.STARTING: frozenset({Status.PROCESSING, Status.SUCCEEDED, Status.FAILED, Status.CANCELED}),
    Status.PROCESSING: frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELED: frozenset(),
}


class Source(StrEnum):
    """Who produced the output."""

    MODEL = "model"
    CACHE = "cache"
    COALESCED = "coalesced"


class ErrorCode(StrEnum):
    """Why a prediction has no output."""

    UNDECODABLE_IMAGE = "undecodable_image"
    MODEL_ERROR = "model_error"
    MODEL_UNAVAILABLE = "model_unavailable"
    WORKER_LOST = "worker_lost"
    DEADLINE_EXCEEDED = "deadline_exceeded"
