"""The open requests, which are canceled when their key is revoked or their owner is purged.

A key is checked when a request begins; a body may take minutes to arrive and a stream hours to end. So a revoked key's
requests are canceled wherever they are: reading a body, waiting, sending results. A canceled one enqueues nothing more.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from shared.domain.errors import DarkroomError
from shared.domain.identifiers import Owner


@dataclass(slots=True, eq=False)
class OpenRequest:
    """One open request; `key` is the API key it came with, empty where it needed none."""

    owner: Owner
    key: str
    over: DarkroomError | None = None
    """The error with which it was canceled, if it was."""


class OpenRequests:
    """The open requests, by the task that serves each."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Task[object], OpenRequest] = {}

    def begin(self, task: asyncio.Task[object], request: OpenRequest) -> None:
        """Add a request; the same task removes it."""
        self._open[task] = request

    def end(self, task: asyncio.Task[object]) -> None:
        """Remove a request."""
        self._open.pop(task, None)

    def cut(self, *, where: Callable[[OpenRequest], bool], why: Callable[[], DarkroomError]) -> int:
        """Cancel the open requests for which `where` is true, and return how many."""
        ended = 0
        for task, request in tuple(self._open.items()):
            if request.over is None and where(request):
                request.over = why()
                task.cancel()
                ended += 1
        return ended
