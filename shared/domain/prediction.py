"""A prediction's statuses and the moves between them, its sources and error codes.

The Lua scripts and the SQL use the same words, which tests compare.
"""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Status of a prediction."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_terminal(self) -> bool:
        """Whether the prediction has ended: a terminal status never changes."""
        return not MOVES[self]


MOVES: Final[dict[Status, frozenset[Status]]] = {
    # A cache hit succeeds and a deadline cancels before processing; a job whose workers keep dying fails from either
    # status.
    Status.STARTING: frozenset({Status.PROCESSING, Status.SUCCEEDED, Status.FAILED, Status.CANCELED}),
    Status.PROCESSING: frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELED: frozenset(),
}


class Source(StrEnum):
    """Where the output came from: the model, the cache, or another prediction of the same image at the same time."""

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
