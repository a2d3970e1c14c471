"""`reference/settings.md`, from the classes of `shared/settings`: each variable with type, default and meaning."""

import ast
import inspect
import json
import textwrap
import typing
from datetime import timedelta
from pathlib import Path
from types import NoneType
from typing import Any, Final

from annotated_types import Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from docs.generate.markdown import joined, one_line, opening, table
from shared import settings

INTRODUCTION: Final = """
Every process reads its settings from environment variables, once, when it starts. An invalid value stops it with one
line that names the variable. The defaults suit one machine.

A *duration* is a number of seconds (`10`, `0.5`, `10s`), ISO 8601 (`PT5M`, `P90D`) or `hh:mm:ss`. Bytes are whole
numbers. Docker Compose has variables of its own in `.env`: [containers](../guides/operate/containers.md).
"""
_NAMES: Final = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "text, never shown",
    timedelta: "duration",
}
_DAY: Final = timedelta(days=1)


def page() -> str:
    """Return the page."""
    exported = [vars(settings)[name] for name in settings.__all__]
    classes = [one for one in exported if isinstance(one, type) and issubclass(one, BaseSettings)]
    # In the order of the source: by file, then as they stand in it.
    classes.sort(key=lambda kind: (kind.__module__, inspect.getsourcelines(kind)[1]))
    blocks = opening("Settings", "`shared/settings`", INTRODUCTION)
    for kind in classes:
        blocks += [f"## {kind.__name__}", inspect.cleandoc(kind.__doc__ or ""), _variables(kind)]
    return joined(blocks)


def _variables(kind: type[BaseSettings]) -> str:
    prefix, meanings = kind.model_config.get("env_prefix", ""), _docstrings(kind)
    return table(
        ("variable", "type", "default", "meaning"),
        [
            (
                f"`{prefix}{name}`".upper(),
                _type(field.annotation, field.metadata),
                _default(field, is_bytes="bytes" in name),
                meanings.get(name, ""),
            )
            for name, field in kind.model_fields.items()
        ],
    )


def _docstrings(kind: type[BaseSettings]) -> dict[str, str]:
    """Return what the string below each field says."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101  it is what was asked for
    found = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                found[name] = one_line(words)
    return found


def _type(annotation: Any, metadata: list[Any]) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(inner[0], [*inner[1:], *metadata])
    if origin is typing.Literal:
        return " or ".join(f"`{word}`" for word in inner)
    if NoneType in inner:
        return " or ".join(_type(one, metadata) for one in inner if one is not NoneType)
    if origin is tuple:
        return "JSON list"
    if origin is dict:
        return "JSON object"
    return _NAMES[annotation] + _bounds(_constraints(metadata))


def _constraints(metadata: list[Any]) -> list[Any]:
    """Return the bounds, those inside a `Field(…)` as well."""
    return [bound for one in metadata for bound in (one.metadata if isinstance(one, FieldInfo) else [one])]


def _bounds(constraints: list[Any]) -> str:
    words = [f"over {one.gt}" for one in constraints if isinstance(one, Gt)]
    words += [f"up to {one.le}" for one in constraints if isinstance(one, Le)]
    return ", " + ", ".join(words) if words else ""


def _default(field: FieldInfo, *, is_bytes: bool) -> str:
    match field.default:
        case None:
            shown = "unset"
        case "" | SecretStr():
            shown = "empty"
        case timedelta() as time:
            shown = _duration(time)
        case tuple() as values:
            seconds = [round(one.total_seconds()) if isinstance(one, timedelta) else str(one) for one in values]
            shown = f"`{json.dumps(seconds)}`"
        case bool() as value:
            shown = f"`{str(value).lower()}`"
        case int() as value if is_bytes:
            shown = _bytes(value)
        case value:
            shown = f"`{value}`"
    return shown


def _duration(time: timedelta) -> str:
    if timedelta(0) < time < timedelta(seconds=1):
        return f"{time / timedelta(milliseconds=1):g} ms"
    for unit, name in ((_DAY, "days"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if time >= 2 * unit and not time % unit and not (name == "days" and time < 3 * _DAY):
            return f"{time // unit} {name}"
    return f"{time.total_seconds():g} s"


def _bytes(value: int) -> str:
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if value >= unit and not value % unit:
            return f"`{value}` ({value // unit} {name})"
    return f"`{value}`"
