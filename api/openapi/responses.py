"""What operations answer, for the OpenAPI document: successes, streams, and problems."""

from typing import Final

from pydantic import BaseModel

from api import schemas
from api.http import problem_kinds as kinds
from api.http import problems
from api.http.problem_kinds import Kind
from api.openapi.references import Json, reference

LOCATION: Final[Json] = {"Location": {"description": "Where it is", "schema": {"type": "string"}}}
WAITED: Final[Json] = {
    "Preference-Applied": {"description": "`wait=N`, where waiting was asked for", "schema": {"type": "string"}}
}
RETRY_AFTER: Final[Json] = {"Retry-After": {"description": "Whole seconds", "schema": {"type": "integer"}}}
LIMITED: Final[Json] = {
    "RateLimit-Policy": {
        "description": "The key's limits: `images` a second, `unfinished` at a time",
        "schema": {"type": "string", "examples": ['"images";q=20;w=1, "unfinished";q=100']},
    },
    "RateLimit": {
        "description": "What is left of them",
        "schema": {"type": "string", "examples": ['"images";r=19;t=1, "unfinished";r=95']},
    },
}


def by_status(
    success: dict[int, type[BaseModel] | None], *refusals: Kind, headers: Json | None = None
) -> dict[int | str, Json]:
    """Return a route's `responses`: its successes by status (None: no body) and the problems it may answer with.

    `headers` are those of the successes.
    """
    found: dict[int | str, Json] = {}
    for status, model in success.items():
        found[status] = {"description": (model.__doc__ if model else None) or "Done."}
        if model:
            found[status]["content"] = {"application/json": {"schema": reference(model)}}
        if headers:
            found[status]["headers"] = headers
    return found | problems_by_status(*refusals)


def problems_by_status(*refusals: Kind) -> dict[int | str, Json]:
    """Return the problems a route may answer with, an example each; kinds of one status share a response."""
    found: dict[int | str, Json] = {}
    for kind in (*refusals, *kinds.WIRE, kinds.INTERNAL_ERROR):
        response = found.setdefault(
            kind.status,
            {
                "description": kind.title,
                "content": {problems.MEDIA_TYPE: {"schema": reference(schemas.Problem), "examples": {}}},
            },
        )
        response["content"][problems.MEDIA_TYPE]["examples"][kind.slug] = _example(kind)
        if response["description"] != kind.title and kind.title not in response["description"]:
            response["description"] += f"; {kind.title[0].lower()}{kind.title[1:]}"
        for name in kind.headers:
            response["headers"] = {name: {"schema": {"type": "string"}}}
        if kind.status == kinds.QUEUE_FULL.status:
            response["headers"] = RETRY_AFTER
        elif kind is kinds.RATE_LIMITED:
            response["headers"] = RETRY_AFTER | LIMITED
    return found


def _example(kind: Kind) -> Json:
    value: Json = {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.meaning,
        "instance": "/v1/…",
    }
    if kind is kinds.INVALID_PARAMETER:
        value["errors"] = [{"detail": "metadata must be a JSON object", "pointer": "/metadata"}]
    return {"summary": kind.title, "value": value}


PREDICTION_EVENTS: Final = (
    "event: logs\ndata: starting\nid: 1\n\n"
    'event: output\ndata: {"predicted_class":"7"}\nid: 3\n\n'
    "event: done\ndata: {}\nid: 4\n\n"
)
BATCH_EVENTS: Final = (
    'event: progress\ndata: {"status":"in_progress","request_counts":{"total":1200,"succeeded":310,"failed":2,'
    '"canceled":0}}\nid: in_progress-1200-310-2-0-runs\n\n'
    "event: done\ndata: {}\nid: completed-1200-1198-2-0-ended\n\n"
)


def stream(unknown: Kind, *events: str, example: str) -> dict[int | str, Json]:
    """Return the `responses` of an operation that streams events of these types."""
    event = {
        "type": "object",
        "properties": {"event": {"enum": [*events]}, "data": {"type": "string"}, "id": {"type": "string"}},
        "required": ["event", "data", "id"],
    }
    success: dict[int | str, Json] = {
        200: {
            "description": "Server-sent events until the end.",
            "content": {"text/event-stream": {"itemSchema": event, "example": example}},
        },
        204: {"description": "Everything was told before `Last-Event-ID`."},
    }
    return success | problems_by_status(kinds.UNAUTHORIZED, unknown, kinds.STORAGE_UNAVAILABLE)


_CSV_TEXT: Final[Json] = {
    "schema": {
        "type": "string",
        "description": "A text that a spreadsheet would take for a formula has a `'` before it: one "
        "that begins with `=`, `+`, `-`, `@`, a tab or a line's end and is no number. In NDJSON texts "
        "are as they are.",
    }
}


def prediction_list(*refusals: Kind) -> dict[int | str, Json]:
    """Return the `responses` of the operation that lists predictions: a page, or lines."""
    found = by_status({200: schemas.PredictionList}, *refusals)
    found[200]["content"] |= {
        "application/x-ndjson": {"itemSchema": reference(schemas.Prediction)},
        "text/csv": _CSV_TEXT,
    }
    return found


def results(*refusals: Kind) -> dict[int | str, Json]:
    """Return the `responses` of the operation that sends a batch's results."""
    success: dict[int | str, Json] = {
        200: {
            "description": "A line an image that has ended, in upload order.",
            "content": {
                "application/x-ndjson": {"itemSchema": reference(schemas.BatchResult)},
                "text/csv": _CSV_TEXT,
            },
        }
    }
    return success | problems_by_status(*refusals)


def mask(*refusals: Kind) -> dict[int | str, Json]:
    """Return the `responses` of the operation that sends a mask."""
    content = {"image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}}}
    success: dict[int | str, Json] = {
        200: {"description": "A PNG of 8 bits a pixel: the pixel's class, as its index.", "content": content}
    }
    return success | problems_by_status(*refusals)


def metrics() -> dict[int | str, Json]:
    """Return the `responses` of the operation that shows metrics."""
    example = 'darkroom_submissions_total{model="digits",outcome="queued"} 250.0\n'
    content = {"schema": {"type": "string"}, "example": example}
    success: dict[int | str, Json] = {
        200: {
            "description": "Every metric, as it is now.",
            "content": {"text/plain": content, "application/openmetrics-text": content},
        }
    }
    return success | problems_by_status()
