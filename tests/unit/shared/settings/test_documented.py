"""Every setting says what it is: its docstring becomes its line in the reference."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from shared import settings

CLASSES = [found for _, found in inspect.getmembers(settings, inspect.isclass) if issubclass(found, BaseSettings)]
FILES = [file for file in Path(settings.__file__).parent.glob("*.py") if file.name != "__init__.py"]


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield `Class.field` and its docstring, of every field of every class of settings."""
    for file in FILES:
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef):
                for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                    if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                        told = after.value.value if isinstance(after, ast.Expr) else ""
                        yield f"{node.name}.{field.target.id}", told


SAID = dict(docstrings())


def is_a_sentence(text: str) -> bool:
    return len(text.split()) > 2 and text.strip().endswith(".")


@pytest.mark.parametrize("name", [f"{found.__name__}.{field}" for found in CLASSES for field in found.model_fields])
def test_a_setting_is_described_in_a_sentence(name: str) -> None:
    assert is_a_sentence(SAID[name]), name


@pytest.mark.parametrize("found", CLASSES)
def test_a_class_of_settings_is_described_in_a_sentence(found: type[BaseSettings]) -> None:
    assert is_a_sentence(found.__doc__ or "")
