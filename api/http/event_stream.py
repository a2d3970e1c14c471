"""Answers that are server-sent events: their headers, and the comment that keeps a silent one open."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from fastapi import Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse

KEEPALIVE: Final = timedelta(seconds=15)
"""After this long without an event a stream sends a comment, so that no proxy takes it for dead."""
FILLER: Final = "darkroom.nothing"
"""Where a stream's scope has bytes that mean nothing to its client: the connection sends them to find out whether
anybody still reads (`edge/http_connection.py`)."""


def event_stream(request: Request, events: AsyncIterator[bytes]) -> Response:
    """Return the answer that sends events as they come."""
    request.scope[FILLER] = KEEPALIVE_COMMENT
    return EventSourceResponse(events, headers={"Cache-Control": "no-store"})
