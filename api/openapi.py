"""What routes share to make the OpenAPI document complete: problems, the bodies of uploads, the schemas."""

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import problems, schemas
from api.auth import needed_role
from api.fields import LONGEST_TEXT, MOST_EVENTS
from api.problems import Kind
from shared.domain.durations import CANCEL_AFTER
from shared.domain.route import MODEL
from shared.domain.webhooks import LONGEST_URL, NEVER_FIRE, Event

Json = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{model}"
_ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    schemas.Prediction,
    schemas.PredictionList,
    schemas.Batch,
    schemas.BatchList,
    schemas.BatchResult,
    schemas.File,
    schemas.FileList,
    schemas.Model,
    schemas.ModelList,
    schemas.Version,
    schemas.VersionList,
    schemas.WebhookSecret,
    schemas.WebhookDelivery,
    schemas.WebhookDeliveryList,
    schemas.WebhookDeliveryDetail,
    schemas.Alive,
    schemas.Readiness,
    schemas.Problem,
    schemas.JsonSubmission,
)
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
_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch", "head", "options"})


def reference(model: type[BaseModel]) -> Json:
    """Return a reference to a schema in the document's components."""
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def responses(
    success: dict[int, type[BaseModel] | None], *kinds: Kind, headers: Json | None = None
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
    return found | problem_responses(*kinds)


def problem_responses(*kinds: Kind) -> dict[int | str, Json]:
    """Return the problems a route may answer with, an example each; kinds of one status share a response."""
    found: dict[int | str, Json] = {}
    for kind in (*kinds, *problems.WIRE, problems.INTERNAL_ERROR):
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
        if kind.status == problems.QUEUE_FULL.status:
            response["headers"] = RETRY_AFTER
        elif kind is problems.RATE_LIMITED:
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
    if kind is problems.INVALID_PARAMETER:
        value["errors"] = [{"detail": "metadata must be a JSON object", "pointer": "/metadata"}]
    return {"summary": kind.title, "value": value}


def parameter(name: str, description: str, *, place: str = "header", **schema: object) -> Json:
    """Return an optional parameter that the route reads from the request itself."""
    return {
        "name": name,
        "in": place,
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def json_parameter(name: str, description: str) -> Json:
    """Return an optional parameter of the query that is a JSON object."""
    schema = {"type": "object", "additionalProperties": True}
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "content": {"application/json": {"schema": schema}},
    }


SUBMISSION_HEADERS: Final = [
    parameter(
        "Prefer",
        "`wait` (60 s) or `wait=N`, 1 to 60: answer when the prediction has ended, or N seconds are over",
        examples=["wait=10"],
    ),
    parameter(
        "Cancel-After",
        "Not started by then, it is canceled: `30`, `30s`, `5m`, `1h30m45s` from creation; at most 7 days",
        pattern=CANCEL_AFTER,
        examples=["5m"],
    ),
    parameter(
        "Idempotency-Key",
        "At most 255 characters, kept 24 h: the same request again answers with the first one's prediction",
        minLength=1,
        maxLength=255,
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]
_MODEL: Final[Json] = {"pattern": MODEL, "maxLength": LONGEST_TEXT}
_WEBHOOK: Final[Json] = {"format": "uri", "maxLength": LONGEST_URL}
_EVENTS: Final[Json] = {
    "type": "array",
    "maxItems": MOST_EVENTS,
    "items": {"type": "string", "enum": [*map(str, Event), *sorted(NEVER_FIRE)]},
}
_QUERY: Final = [
    parameter("model", "For a body that is the image itself", place="query", **_MODEL, examples=["digits"]),
    parameter("version", "Likewise", place="query", **_MODEL),
    parameter("priority", "Likewise", place="query", enum=["interactive", "bulk"]),
    json_parameter("metadata", "Likewise: a JSON object of at most 4 KB"),
    parameter("webhook", "Likewise: the URL that is told of events", place="query", **_WEBHOOK),
    parameter("webhook_events_filter", "Likewise, repeated: only these events", place="query", **_EVENTS),
]
_FILE_URL: Final = "http://127.0.0.1:8000/v1/files/0193d5a2-7b1c-7c3e-9d55-3f6f2a0c9b11"
_BINARY: Final = {"type": "string", "format": "binary", "minLength": 1}
_METADATA: Final[Json] = {
    "type": "object",
    "additionalProperties": True,
    "description": "A JSON object of at most 4 KB",
    "examples": [{"patient": 17}],
}


def submission() -> Json:
    """Return `openapi_extra` of the operations that take an image: three bodies, the same parameters."""
    fields = models_json_schema([(schemas.Submission, "validation")], ref_template=_REFERENCE)[1]
    form: Json = {name: _in_a_form(member) for name, member in fields["$defs"]["Submission"]["properties"].items()}
    form["metadata"] = _METADATA
    form["webhook_events_filter"] |= _EVENTS
    form["image"] = {**_BINARY, "description": "The image; after the other fields"}
    content = {
        "multipart/form-data": {
            "schema": {"type": "object", "properties": form, "required": ["image"]},
            "encoding": {"image": {"contentType": "image/*"}},
        },
        "image/*": {"schema": _BINARY},
        "application/octet-stream": {"schema": _BINARY},
        "application/json": {
            "schema": reference(schemas.JsonSubmission),
            "examples": {
                "data URL": {
                    "value": {
                        "model": "digits",
                        "input": {"image": f"data:image/png;base64,{schemas.PNG}"},
                    }
                },
                "uploaded file": {
                    "value": {
                        "model": "digits",
                        "input": {"image": _FILE_URL},
                    }
                },
            },
        },
    }
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": [*SUBMISSION_HEADERS, *_QUERY],
    }


def _in_a_form(member: Json) -> Json:
    """Return what a field of a form is: as in JSON, but never null."""
    choices = member.get("anyOf", [{}])
    return {**{key: value for key, value in member.items() if key not in ("anyOf", "default")}, **choices[0]}


def looking() -> Json:
    """Return `openapi_extra` of the operation that looks at one prediction."""
    return {"parameters": [SUBMISSION_HEADERS[0]]}


def streaming() -> Json:
    """Return `openapi_extra` of the operation that streams events."""
    return {
        "parameters": [
            parameter("token", "As `urls.stream` has it", place="query"),
            parameter("Last-Event-ID", "Go on after this event"),
        ]
    }


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


def stream_responses(unknown: Kind, *events: str, example: str) -> dict[int | str, Json]:
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
    return success | problem_responses(problems.UNAUTHORIZED, unknown, problems.STORAGE_UNAVAILABLE)


def bulk_upload() -> Json:
    """Return `openapi_extra` of the operation that takes many images."""
    fields: Json = {
        "model": {"type": "string", **_MODEL, "examples": ["digits"]},
        "version": {"type": "string", **_MODEL},
        "metadata": _METADATA,
        "webhook": {
            "type": "string",
            **_WEBHOOK,
            "description": "An https:// or http:// URL, told by a signed POST when the last image has ended",
            "examples": ["https://example.com/hook"],
        },
        "webhook_events_filter": {**_EVENTS, "description": "Only these events; a batch has `completed` alone"},
    }
    images: Json = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "description": "Any number of files; after the other fields",
    }
    archive: Json = {**_BINARY, "description": "A zip, tar or tar.gz instead of `images`"}
    form: Json = {
        "type": "object",
        "properties": {**fields, "images": images, "archive": archive},
        "oneOf": [{"required": ["images"]}, {"required": ["archive"]}],
    }
    line = f'{{"custom_id": "7.png", "image": "{schemas.PNG}"}}'
    content = {
        "multipart/form-data": {"schema": form},
        "application/x-ndjson": {"schema": {"type": "string"}, "example": f"{line}\n"},
    }
    query = [entry for entry in _QUERY if entry["name"] in fields]
    return {"requestBody": {"required": True, "content": content}, "parameters": [SUBMISSION_HEADERS[2], *query]}


def result_responses(*kinds: Kind) -> dict[int | str, Json]:
    """Return the `responses` of the operation that sends a batch's results."""
    success: dict[int | str, Json] = {
        200: {
            "description": "A line an image that has ended, in upload order.",
            "content": {
                "application/x-ndjson": {"itemSchema": reference(schemas.BatchResult)},
                "text/csv": {"schema": {"type": "string"}},
            },
        }
    }
    return success | problem_responses(*kinds)


def metrics_responses() -> dict[int | str, Json]:
    """Return the `responses` of the operation that shows metrics."""
    example = 'darkroom_submissions_total{model="digits",outcome="queued"} 250.0\n'
    content = {"schema": {"type": "string"}, "example": example}
    success: dict[int | str, Json] = {
        200: {
            "description": "Every metric, as it is now.",
            "content": {"text/plain": content, "application/openmetrics-text": content},
        }
    }
    return success | problem_responses()


def file_upload() -> Json:
    """Return `openapi_extra` of the operation that takes a file."""
    schema = {
        "type": "object",
        "required": ["content"],
        "properties": {
            "content": {**_BINARY, "description": "The file"},
            "metadata": _METADATA,
        },
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def install(app: FastAPI, *, keys_required: bool = False) -> None:
    """Give an app its document: made at the first look, with every schema that routes refer to."""

    def document() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, keys_required=keys_required)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _document(app: FastAPI, *, keys_required: bool) -> Json:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description or None,
        routes=app.routes,
        tags=app.openapi_tags,
        servers=app.servers,
    )
    _, shapes = models_json_schema([(model, "serialization") for model in _ANSWERS], ref_template=_REFERENCE)
    components = document.setdefault("components", {}).setdefault("schemas", {})
    components |= deepcopy(shapes["$defs"])
    # FastAPI adds its own 422 to every operation with a parameter; ours says what really comes.
    for operation in _operations(document):
        refused = operation["responses"].get("422", {})
        if "HTTPValidationError" in str(refused):
            ours = problem_responses(problems.INVALID_PARAMETER)
            operation["responses"] |= {str(status): response for status, response in ours.items()}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in _METHODS:
                _name_path_parameters(path, operation)
                _name_key(method, path, operation, required=keys_required)
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key, `dk_…`"}
    }
    components.pop("HTTPValidationError", None)
    components.pop("ValidationError", None)
    return document


def _name_key(method: str, path: str, operation: Json, *, required: bool) -> None:
    """Say that an operation needs a key, or takes one, and what it answers without."""
    if needed_role(method.upper(), path) is None:
        return
    operation["security"] = [{"key": []}] if required else [{"key": []}, {}]
    refusals = {
        str(status): response
        for status, response in problem_responses(problems.UNAUTHORIZED, problems.FORBIDDEN).items()
    }
    operation["responses"] = refusals | operation["responses"]
    if path.endswith("/stream"):
        operation["security"].append({})


def _name_path_parameters(path: str, operation: Json) -> None:
    """Declare what stands in the path, where the route reads it from the request itself."""
    parameters = operation.setdefault("parameters", [])
    declared = {known["name"] for known in parameters if known["in"] == "path"}
    for name in re.findall(r"{(\w+)}", path):
        if name not in declared:
            parameters.append({"name": name, "in": "path", "required": True, "schema": {"type": "string"}})


def _operations(document: Json) -> Iterable[Json]:
    """Return every operation of the document."""
    for path in document["paths"].values():
        yield from (operation for method, operation in path.items() if method in _METHODS)
