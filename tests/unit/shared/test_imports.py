"""Which folders of `shared` use nothing but the standard library."""

import ast
import sys
from pathlib import Path

import pytest

import shared

SHARED = Path(shared.__file__).parent


def imported(file: Path) -> set[str]:
    """Return the modules that a file imports, by their full names."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("folder", ["domain", "image_files"])
def test_a_folder_imports_only_itself_and_the_standard_library(folder: str) -> None:
    files = list((SHARED / folder).glob("*.py"))
    assert files
    for file in files:
        others = {name for name in imported(file) if not name.startswith(f"shared.{folder}.")}
        assert {name.partition(".")[0] for name in others} <= sys.stdlib_module_names, file
