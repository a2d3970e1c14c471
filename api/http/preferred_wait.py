"""How long a client wants to wait for an end, by its `Prefer: wait`, and until when it has to be answered."""

import asyncio
from datetime import timedelta
from typing import Final

from fastapi import Request

from api.http.request_facts import header
from api.http.request_headers import parse_prefer_wait

ANSWER_MARGIN: Final = timedelta(milliseconds=100)
"""The answer is sent so long before the client's time is over, so that it arrives within it."""


def preferred_wait(request: Request) -> timedelta | None:
    """Return how long the client wants to wait; several `Prefer` lines count as one (RFC 7240, section 2)."""
    if header(request, b"prefer") is None:
        return None
    return parse_prefer_wait(",".join(request.headers.getlist("prefer")))


def answer_deadline(wait: timedelta) -> float:
    """Return when a wait that begins now has to be answered, by the event loop's clock."""
    return asyncio.get_running_loop().time() + (wait - ANSWER_MARGIN).total_seconds()


def preference_applied(wait: timedelta) -> dict[str, str]:
    """Return the header that says how long was waited for at most."""
    return {"Preference-Applied": f"wait={wait.seconds}"}
