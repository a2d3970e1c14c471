"""Requests that are open: each ends when whoever sent it may send no more.

A key is asked for when a request begins; a body may take minutes to come and a stream hours to end. So when a key is
revoked, or an owner purged, the open requests are canceled wherever they are: reading a body, waiting, sending results.
Nothing runs between that and their end, so none of them enqueues anything after.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from shared.domain.errors import DarkroomError
from shared.domain.identifiers import Owner


@dataclass(slots=True, eq=False)
class OpenRequest:
    """One open request; `key` is what it came with, empty where it needed none."""

    owner: Owner
    key: str
    over: DarkroomError | None = None
    """Why it was ended, where it was."""


class OpenRequests:
    """The open requests, each by the task that serves it."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Task[object], OpenRequest] = {}

    def begin(self, task: asyncio.Task[object], visit: OpenRequest) -> None:
        """Take note of a request; the same task ends it."""
        self._open[task] = visit

    def end(self, task: asyncio.Task[object]) -> None:
        """Forget a request."""
        self._open.pop(task, None)

    def cut(self, *, where: Callable[[OpenRequest], bool], why: Callable[[], DarkroomError]) -> int:
        """Cancel the open requests that are to end, and return how many."""
        ended = 0
        for task, visit in tuple(self._open.items()):
            if visit.over is None and where(visit):
                visit.over = why()
                task.cancel()
                ended += 1
        return ended
