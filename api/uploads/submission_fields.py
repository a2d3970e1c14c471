"""The fields of a submission beside its image: the same in a form, in the query and in JSON."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from api.schemas.bounds import LONGEST_TEXT, MOST_EVENTS
from api.uploads.json_bodies import LONG_TEXT, JsonBodyError, JsonObject, parse_json_object
from shared.domain.errors import BadRequest, InvalidParameter
from shared.domain.identifiers import FileId
from shared.domain.model_reference import Reference
from shared.domain.pipeline import PIPELINE_FIELDS
from shared.domain.webhooks import Webhook, check_webhook_url, read_events
from shared.settings import Intake

PRIORITIES: Final = ("interactive", "bulk")
_EVENTS: Final = "webhook_events_filter"
_LISTED_EVENTS: Final = f"{_EVENTS}["
_NAMES: Final = frozenset({"model", "version", "priority", "metadata", "webhook", _EVENTS, *PIPELINE_FIELDS})
_PIPELINE_NAMES: Final = frozenset(PIPELINE_FIELDS)
_LISTS: Final = ("models", "weights")
LONGEST_DEFINITION: Final = 16 * 1024
"""Bytes of `models`, `weights` and `then` together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionFields:
    """The fields of a submission. `file_reference` names an uploaded file in place of an image."""

    model: str | None = None
    version: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    priority: str = "interactive"
    file_reference: FileId | None = None
    webhook: Webhook | None = None
    pipeline: dict[str, Any] | None = None
    """The members of a pipeline's definition that are given, unchecked; None where there are none."""


NO_FIELDS: Final = SubmissionFields()


def is_field(name: str) -> bool:
    """Tell whether this names a field of a submission, also as axios and PHP write a list: `name[]`."""
    return name in _NAMES or name.startswith(_LISTED_EVENTS)


def collect_fields(
    pairs: Iterable[tuple[str, object]], *, limits: Intake, file_reference: FileId | None = None
) -> SubmissionFields:
    """Make SubmissionFields of the names and values of a body and of its query, in any order; ignore unknown names.

    `webhook_events_filter` may be a list, and repeated: its events add up.
    Raises BadRequest where two values of one name contradict, InvalidParameter where one can't be used.
    """
    given: dict[str, object] = {}
    events: list[object] = []
    for name, value in pairs:
        if (name not in _NAMES and not is_field(name)) or value is None or value == "":
            continue
        if name.startswith(_EVENTS):
            events += value if isinstance(value, list) else [value]
            continue
        if name in PIPELINE_FIELDS:
            value = read_definition(name, value)  # noqa: PLW2901
            if name in _LISTS and isinstance(value, list) and name in given:  # a form repeats a list's field
                given[name] = [*given[name], *value]  # type: ignore[misc]  # a list too
                continue
        elif name == "metadata":
            value = read_metadata(value, limits=limits)  # noqa: PLW2901  compared as values, not as texts
        if given.setdefault(name, value) != value:
            raise BadRequest(detail=f"{name} is given twice, with different values")
    priority = _text(given, "priority") or "interactive"
    if priority not in PRIORITIES:
        raise InvalidParameter(detail=f"{priority!r} is no priority; write interactive or bulk", pointer="/priority")
    metadata = given.get("metadata", {})
    assert isinstance(metadata, dict)  # noqa: S101  what read_metadata returns
    return SubmissionFields(
        model=_text(given, "model"),
        version=_text(given, "version"),
        metadata=metadata,
        priority=priority,
        file_reference=file_reference,
        webhook=_webhook(given["webhook"], events) if "webhook" in given else None,
        pipeline=_definition(given) if not _PIPELINE_NAMES.isdisjoint(given) else None,
    )


def read_definition(name: str, value: object) -> object:
    """Return a member of a pipeline's definition; in a form and in a query it is the text of JSON.

    `models` and `weights` may have commas between them there. Raises InvalidParameter.
    """
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST_DEFINITION:
        raise InvalidParameter(detail=f"{name} has over {LONGEST_DEFINITION:,} characters", pointer=f"/{name}")
    if name not in _LISTS and name != "then":
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        if name == "then":
            raise InvalidParameter(detail=f"then is no JSON: {error.msg}", pointer="/then") from None
        parts: list[object] = [part.strip() for part in value.split(",")]
        return parts if name == "models" else [_number(part) for part in parts]


def _number(part: object) -> object:
    try:
        return float(str(part))
    except ValueError:
        return part


def _definition(given: dict[str, object]) -> dict[str, Any]:
    found: dict[str, Any] = {name: given[name] for name in PIPELINE_FIELDS if name in given}
    try:
        size = len(orjson.dumps(found))
    except TypeError:
        raise InvalidParameter(detail="then is nested too deeply", pointer="/then") from None
    if size > LONGEST_DEFINITION:
        raise InvalidParameter(detail=f"the pipeline has over {LONGEST_DEFINITION:,} bytes", pointer="/then")
    return found


def asked_model(model: str | None, version: str | None) -> Reference:
    """Return the model that `model` and `version` name; either may hold the whole reference.

    Raises InvalidParameter where they contradict each other.
    """
    if version is None:
        return Reference.parse_model(model) if model else Reference(name=None)
    reference = Reference.parse_version(version)
    if not model:
        return reference
    joined = Reference.parse_model(model).joined(reference)
    if joined is None:
        raise InvalidParameter(detail=f"model {model!r} and version {version!r} contradict", pointer="/version")
    return joined


def _text(given: dict[str, object], name: str) -> str | None:
    """Return a short text, or None where it is missing; raises InvalidParameter."""
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or "\0" in value:
        raise InvalidParameter(detail=f"{name} must be a text of at most {LONGEST_TEXT} characters", pointer=f"/{name}")
    return value


def _webhook(url: object, events: list[object]) -> Webhook:
    """Return the webhook with its events; none named means all. Raises InvalidParameter."""
    if not isinstance(url, str):
        raise InvalidParameter(detail="webhook must be a URL", pointer="/webhook")
    try:
        check_webhook_url(url)
    except ValueError as error:
        raise InvalidParameter(detail=str(error), pointer="/webhook") from None
    words = [word for word in events[:MOST_EVENTS] if isinstance(word, str)]
    if len(words) < len(events):
        raise _no_events(f"webhook_events_filter must be a list of at most {MOST_EVENTS} names of events")
    try:
        return Webhook(url, read_events(words))
    except ValueError as error:
        raise _no_events(str(error)) from None


def _no_events(detail: str) -> InvalidParameter:
    return InvalidParameter(detail=detail, pointer="/webhook_events_filter")


def read_metadata(value: object, *, limits: Intake) -> dict[str, Any]:
    """Return `metadata`, given as a JSON object or as its text; raises InvalidParameter.

    What Postgres can't store is refused too: the character U+0000, NaN, lone surrogates.
    """
    if isinstance(value, str | bytes):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise _no_metadata(f"metadata is no JSON: {error.msg}") from None
    if not isinstance(value, dict):
        raise _no_metadata("metadata must be a JSON object")
    try:
        written = orjson.dumps(value)
    except TypeError:
        raise _no_metadata("metadata is nested too deeply") from None
    if len(written) > limits.max_metadata_bytes:
        raise _no_metadata(f"metadata has {len(written)} bytes, at most {limits.max_metadata_bytes} are kept")
    if b"\\u0000" in written and contains_character(value, "\0"):
        raise _no_metadata("metadata holds the character U+0000, which can't be stored")
    return value


def _no_metadata(detail: str) -> InvalidParameter:
    return InvalidParameter(detail=detail, pointer="/metadata")


def contains_character(value: object, character: str) -> bool:
    """Tell whether any text in a JSON value, names of members included, contains the character."""
    match value:
        case str():
            return character in value
        case dict():
            return any(
                contains_character(name, character) or contains_character(item, character)
                for name, item in value.items()
            )
        case list():
            return any(contains_character(item, character) for item in value)
    return False


def read_json_object(body: bytes) -> JsonObject:
    """Return a request body's JSON object; raises BadRequest, or InvalidParameter for text that can't be stored."""
    try:
        found = parse_json_object(body)
    except JsonBodyError as error:
        raise BadRequest(detail=f"the body {error}") from None
    except orjson.JSONDecodeError as error:
        _blame_surrogates(error.doc)
        raise BadRequest(detail=f"the body is no JSON: {error}") from None
    for name in _NAMES if found.long_texts else ():
        if found.holds_long_text(name):
            raise InvalidParameter(detail=f"{name} holds a text of over {LONG_TEXT:,} bytes", pointer=f"/{name}")
    return found


def _blame_surrogates(text: str) -> None:
    """Raise InvalidParameter where `metadata` has lone surrogates, which JSON's grammar allows and orjson does not."""
    if "\\ud" not in text.lower():
        return
    try:
        found = json.loads(text)
        json.dumps(found.get("metadata"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _no_metadata("metadata holds a lone surrogate, which can't be stored") from None
    except (ValueError, AttributeError, RecursionError):
        return
