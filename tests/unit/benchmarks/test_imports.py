import ast
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def imported(file: Path) -> set[str]:
    """The top-level packages that a module imports, at its head or inside."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("file", sorted(BENCHMARKS.rglob("*.py")), ids=lambda file: str(file.relative_to(BENCHMARKS)))
def test_benchmarks_import_nothing_from_the_tests(file: Path) -> None:
    assert "tests" not in imported(file)


def test_an_import_inside_a_function_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def f():\n    from tests.simulation import pictures\n")
    assert "tests" in imported(module)
