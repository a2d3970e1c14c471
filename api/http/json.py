"""Answers in JSON."""

from typing import Any

import orjson
from fastapi import Response


class JSONResponse(Response):
    """A JSON answer, from bytes that are JSON already or from anything orjson can write."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return content if isinstance(content, bytes) else orjson.dumps(content)
