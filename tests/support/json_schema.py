"""A validator of the part of JSON Schema (2020-12) that the gateway's document uses; other keywords raise an error."""

import re
from collections.abc import Iterator
from typing import Any, Final

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_ANNOTATIONS: Final = frozenset({"title", "description", "default", "examples", "format", "x-unit"})
_KNOWN: Final = _ANNOTATIONS | {
    "$ref", "anyOf", "oneOf", "type", "enum", "const", "properties", "required", "additionalProperties", "items",
    "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
}  # fmt: skip


class Validator:
    """Validates values against the schemas of one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def resolve(self, reference: str) -> dict[str, Any]:
        """Return what a reference points to; raises KeyError where that is nothing."""
        found: Any = self._document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        resolved: dict[str, Any] = found
        return resolved

    def faults(self, value: object, schema: dict[str, Any], *, at: str = "") -> Iterator[str]:
        """Yield each way in which a value violates its schema."""
        unknown = schema.keys() - _KNOWN
        assert not unknown, f"{at}: the keywords {unknown} are not judged here"
        if "$ref" in schema:
            yield from self.faults(value, self.resolve(schema["$ref"]), at=at)
        if "anyOf" in schema and all(any(self.faults(value, choice, at=at)) for choice in schema["anyOf"]):
            yield f"{at}: {value!r} is none of the choices"
        if "oneOf" in schema and sum(not any(self.faults(value, choice, at=at)) for choice in schema["oneOf"]) != 1:
            yield f"{at}: {value!r} is not one of the choices alone"
        if "type" in schema and not _is(value, schema["type"]):
            yield f"{at}: {value!r} is no {schema['type']}"
            return
        if value not in schema.get("enum", [value]) or value != schema.get("const", value):
            yield f"{at}: {value!r} is not one of the values"
        yield from self._content_faults(value, schema, at)

    def _content_faults(self, value: object, schema: dict[str, Any], at: str) -> Iterator[str]:
        if isinstance(value, str):
            yield from _text_faults(value, schema, at)
        elif isinstance(value, int | float):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                yield f"{at}: {value!r} is out of range"
        elif isinstance(value, list):
            if not _within(len(value), schema, "Items"):
                yield f"{at}: {len(value)} items are too few or too many"
            for place, item in enumerate(value):
                yield from self.faults(item, schema.get("items", {}), at=f"{at}/{place}")
        elif isinstance(value, dict):
            yield from self._member_faults(value, schema, at)

    def _member_faults(self, value: dict[str, Any], schema: dict[str, Any], at: str) -> Iterator[str]:
        members, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        yield from (f"{at}: {name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, item in value.items():
            if name in members:
                yield from self.faults(item, members[name], at=f"{at}/{name}")
            elif others is False:
                yield f"{at}: {name} is not declared"
            elif isinstance(others, dict):
                yield from self.faults(item, others, at=f"{at}/{name}")


def _is(value: object, name: str) -> bool:
    """Tell whether a value is of a type; true and false are no numbers."""
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _text_faults(value: str, schema: dict[str, Any], at: str) -> Iterator[str]:
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: {value!r} does not match {schema['pattern']}"
    if not _within(len(value), schema, "Length"):
        yield f"{at}: {value!r} is too short or too long"


def _within(size: int, schema: dict[str, Any], what: str) -> bool:
    return bool(schema.get(f"min{what}", size) <= size <= schema.get(f"max{what}", size))
