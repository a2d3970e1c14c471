"""The JSON Schema of a version's outputs, made from its task, its labels and the options that change the form.

`GET /v1/models/{name}` shows it, and Replicate's clients read it as `Output` in a version's `openapi_schema`. It is in
the dialect of OpenAPI 3.0 (no `const`, no `$defs`), since that is what those clients expect.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from shared.domain.pipeline import PIPELINE
from shared.domain.task import Task

Schema = dict[str, Any]

NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})
_INDEX: Final[Schema] = {"type": "integer", "minimum": 0}
_SHARE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1}
_BASE64: Final[Schema] = {"type": "string", "format": "byte"}


def output_schema(task: Task, *, labels: Sequence[str] = (), options: Mapping[str, Any] = NO_OPTIONS) -> Schema:
    """Return the schema of one output.

    `options` are the version's own: `activation` (`none`: scores have no bounds), `values` (a regression's names with
    their units or None), `encoding` (`list` or `base64`) and `dimensions` of an embedding, `max_detections`. What is
    unknown, as the labels of a version that no worker has loaded, is left open.
    """
    score: Schema = {"type": "number"} if options.get("activation") == "none" else dict(_SHARE)
    match task:
        case Task.CLASSIFICATION:
            members = _classification(_label(labels), score)
        case Task.MULTILABEL:
            # A word of several classes has the class' index behind it: `crane (134)`.
            names = labels if len(set(labels)) == len(labels) else ()
            members = {
                "predicted_classes": {"type": "array", "items": _label(names)},
                "scores": {"type": "object", "additionalProperties": score},
            }
        case Task.REGRESSION:
            return _regression(options.get("values") or {})
        case Task.EMBEDDING:
            members = _embedding(options.get("dimensions"), options.get("encoding", "list"))
        case Task.DETECTION:
            members = {"detections": _detections(_label(labels), score, options.get("max_detections"))}
        case Task.SEGMENTATION:
            return _segmentation(_label(labels))
        case Task.JSON:
            return {"type": "object", "title": "Output"}
    return _object(members) | {"title": "Output"}


def pipeline_output_schema() -> Schema:
    """Return the schema of a pipeline's output: the members of the last step's, and what each step answered."""
    steps: Schema = {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "object"}}
    pipeline = _object({"steps": steps, "degraded": {"type": "boolean"}})
    return _object({PIPELINE: pipeline}) | {"title": "Output"}


def _object(members: Schema) -> Schema:
    """Return the schema of an object that has all these members."""
    return {"type": "object", "required": list(members), "properties": members}


def _label(labels: Sequence[str]) -> Schema:
    """Return the schema of a label; two classes may have the same word, which is listed once."""
    return {"type": "string", "enum": list(dict.fromkeys(labels))} if labels else {"type": "string"}


def _classification(label: Schema, score: Schema) -> Schema:
    return {
        "predicted_class": label,
        "predicted_index": _INDEX,
        "confidence": score,
        "probabilities": {"type": "object", "additionalProperties": score},
    }


def _regression(units: Mapping[str, str | None]) -> Schema:
    number: Schema = {"type": "number"}
    if not units:
        values: Schema = {"type": "object", "additionalProperties": number}
    else:
        # `x-unit` is an extension, as OpenAPI allows: JSON Schema has no word for units.
        values = _object({name: number | ({"x-unit": unit} if unit else {}) for name, unit in units.items()})
    schema = _object({"values": values}) | {"title": "Output"}
    if any(units.values()) or not units:
        schema["properties"]["units"] = {"type": "object", "additionalProperties": {"type": "string"}}
    return schema


def _embedding(dimensions: int | None, encoding: str) -> Schema:
    length: Schema = _INDEX if dimensions is None else {"type": "integer", "enum": [dimensions]}
    if encoding == "base64":
        return {"dimensions": length, "embedding_base64": _BASE64 | {"description": "Little-endian float32"}}
    bounds = {} if dimensions is None else {"minItems": dimensions, "maxItems": dimensions}
    return {"dimensions": length, "embedding": {"type": "array", "items": {"type": "number"}} | bounds}


def _detections(label: Schema, score: Schema, most: int | None) -> Schema:
    box: Schema = {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 4,
        "maxItems": 4,
        "description": "x0, y0, x1, y1 in pixels of the picture as it is shown upright",
    }
    items: Schema = {"type": "array", "items": _object({"label": label, "score": score, "box": box})}
    return items if most is None else items | {"maxItems": most}


def _segmentation(label: Schema) -> Schema:
    size: Schema = {"width": _INDEX, "height": _INDEX}
    classes: Schema = {
        "classes": {"type": "array", "items": _object({"label": label, "index": _INDEX, "share": dict(_SHARE)})}
    }
    # A large mask is not in the output: either of the two members is there.
    schema = _object(size | classes) | {"title": "Output"}
    schema["properties"]["mask"] = _BASE64 | {"description": "A PNG of 8 bits a pixel: the pixel's class, as its index"}
    schema["properties"]["mask_url"] = {
        "type": "string",
        "format": "uri",
        "description": "In place of `mask` where that has more than 1,048,576 characters: where the PNG is",
    }
    return schema
