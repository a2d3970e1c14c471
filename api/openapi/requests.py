"""What operations take, for the OpenAPI document: headers, queries, and bodies of uploads."""

from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import schemas
from api.http.request_headers import CANCEL_AFTER
from api.openapi.references import REFERENCE, Json, reference
from api.schemas.bounds import LONGEST_TEXT, MOST_EVENTS
from shared.domain.model_reference import REFERENCE_PATTERN
from shared.domain.pipeline import PIPELINE_FIELDS, Combination, OnError
from shared.domain.webhooks import LONGEST_URL, NEVER_FIRE, Event
from shared.image_files.formats import SUPPORTED


def parameter(name: str, description: str, *, place: str = "header", **schema: object) -> Json:
    """Return an optional parameter that the route reads from the request itself."""
    return {
        "name": name,
        "in": place,
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def json_parameter(name: str, description: str, *, schema: Json) -> Json:
    """Return an optional parameter of the query that is a JSON object of this schema."""
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
_ANY_OBJECT: Final[Json] = {"type": "object", "additionalProperties": True}
_MODEL: Final[Json] = {"pattern": REFERENCE_PATTERN, "maxLength": LONGEST_TEXT}
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
    json_parameter("metadata", "Likewise: a JSON object of at most 4 KB", schema=_ANY_OBJECT),
    parameter("webhook", "Likewise: the URL that is told of events", place="query", **_WEBHOOK),
    parameter("webhook_events_filter", "Likewise, repeated: only these events", place="query", **_EVENTS),
]
_PIPELINE: Final = [
    parameter("models", "Likewise: an ensemble, names with commas between them", place="query"),
    parameter("combine", "Likewise", place="query", enum=[*map(str, Combination)]),
    parameter("weights", "Likewise: numbers with commas between them", place="query"),
    json_parameter("then", "Likewise: a chain's second step", schema=reference(schemas.Then)),
    parameter("on_error", "Likewise", place="query", enum=[*map(str, OnError)]),
]
_FILE_URL: Final = "http://127.0.0.1:8000/v1/files/0193d5a2-7b1c-7c3e-9d55-3f6f2a0c9b11"
_BINARY: Final = {"type": "string", "format": "binary", "minLength": 1}
_FORMATS: Final = ", ".join(SUPPORTED)
_IMAGE: Final = {**_BINARY, "description": f"The image: {_FORMATS} (a NumPy array of uint8, `image/x-npy`)"}
_METADATA: Final[Json] = {
    "type": "object",
    "additionalProperties": True,
    "description": "A JSON object of at most 4 KB",
    "examples": [{"patient": 17}],
}


def submission() -> Json:
    """Return `openapi_extra` of the operations that take an image: three bodies, the same parameters."""
    fields = models_json_schema([(schemas.Submission, "validation")], ref_template=REFERENCE)[1]
    form: Json = {name: _in_a_form(member) for name, member in fields["$defs"]["Submission"]["properties"].items()}
    form["metadata"] = _METADATA
    form["webhook_events_filter"] |= _EVENTS
    form["image"] = {**_IMAGE, "description": f"{_IMAGE['description']}; after the other fields"}
    content = {
        "multipart/form-data": {
            "schema": {"type": "object", "properties": form, "required": ["image"]},
            "encoding": {"image": {"contentType": "image/*"}},
        },
        "image/*": {"schema": _IMAGE},
        "application/octet-stream": {"schema": _IMAGE},
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
        "parameters": [*SUBMISSION_HEADERS, *_QUERY, *_PIPELINE],
    }


def _in_a_form(member: Json) -> Json:
    """Return the schema of a form's field: as in JSON, but never null."""
    choices = member.get("anyOf", [{}])
    return {**{key: value for key, value in member.items() if key not in ("anyOf", "default")}, **choices[0]}


def _pipeline_fields() -> Json:
    """Return the fields that make a pipeline, as they are in a form."""
    members = models_json_schema([(schemas.Submission, "validation")], ref_template=REFERENCE)[1]
    properties = members["$defs"]["Submission"]["properties"]
    return {name: _in_a_form(properties[name]) for name in PIPELINE_FIELDS}


_INCLUDED = "^((shadow|feedback|deliveries|events)(,(shadow|feedback|deliveries|events))*)?$"


def reading() -> Json:
    """Return `openapi_extra` of the operation that reads one prediction."""
    include = (
        "`shadow`: with what the model's shadows answered to the image; `feedback`: with the newest 100 answers that "
        "were given for it, the one that counts first; `deliveries`: with its webhook's, each with its attempts; "
        "`events`: with every moment of its life that is known, and its request's id; or several, with commas"
    )
    return {"parameters": [SUBMISSION_HEADERS[0], parameter("include", include, place="query", pattern=_INCLUDED)]}


def retrying(*, waits: bool) -> Json:
    """Return `openapi_extra` of an operation that retries; `waits`: it takes the headers of a submission."""
    return {"parameters": SUBMISSION_HEADERS if waits else [SUBMISSION_HEADERS[2]]}


def streaming() -> Json:
    """Return `openapi_extra` of the operation that streams events."""
    return {
        "parameters": [
            parameter("token", "As `urls.stream` has it", place="query"),
            parameter("Last-Event-ID", "Go on after this event"),
        ]
    }


def bulk_upload() -> Json:
    """Return `openapi_extra` of the operation that takes many images."""
    fields: Json = {
        "model": {"type": "string", **_MODEL, "examples": ["digits"]},
        "version": {"type": "string", **_MODEL},
        **_pipeline_fields(),
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
        "description": "Any number of files; after the other fields. Also as `images[]` or repeated `image`",
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
    query = [entry for entry in (*_QUERY, *_PIPELINE) if entry["name"] in fields]
    waiting = parameter(
        "Prefer",
        "`wait` (60 s) or `wait=N`, 1 to 60: answer with the results of all, at most 256 images, or when N seconds are "
        "over",
        examples=["wait=10"],
    )
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": [waiting, SUBMISSION_HEADERS[2], *query],
    }


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


_FEEDBACK_KEY: Final = parameter(
    "Idempotency-Key",
    "At most 255 characters, kept as long as the feedback: the same again makes no second row, another answer is "
    "refused",
    minLength=1,
    maxLength=255,
)


def feedback() -> Json:
    """Return `openapi_extra` of the operation that takes one answer."""
    content = {
        "application/json": {
            "schema": reference(schemas.FeedbackAnswer),
            "examples": {
                "class": {"value": {"label": "7", "by": "anna"}},
                "numbers": {"value": {"value": {"age": 37.5}}},
                "boxes": {"value": {"boxes": [{"label": "cat", "box": [12, 30, 211, 187]}]}},
            },
        }
    }
    return {"requestBody": {"required": True, "content": content}, "parameters": [_FEEDBACK_KEY]}


def json_object(wanted: type[BaseModel]) -> Json:
    """Return `openapi_extra` of an operation that takes a small JSON object."""
    content = {"application/json": {"schema": reference(wanted)}}
    return {"requestBody": {"required": True, "content": content}}


def feedback_csv(target: str) -> Json:
    """Return `openapi_extra` of an operation that takes answers as CSV; `target` names a line's prediction."""
    description = (
        f"UTF-8, its first line naming the columns: `{target}`, one or more of `label`, `value` (JSON) and `boxes` "
        "(JSON), and maybe `comment` and `by`; others are ignored. Of at most 256 MB; a line has at most 64 KB"
    )
    schema = {"type": "string", "minLength": 1, "description": description}
    example = "id,label\n0193d5a2-7b1c-7c3e-9d55-3f6f2a0c9b11,7\n"
    return {
        "requestBody": {"required": True, "content": {"text/csv": {"schema": schema, "example": example}}},
        "parameters": [_FEEDBACK_KEY],
    }
