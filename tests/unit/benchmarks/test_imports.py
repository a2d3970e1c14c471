import ast
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
# The bare loops, the tutorials' design, the peers, and the GPU's ceilings.
INDEPENDENT = (
    "benchmarks.stack.bare_loop",
    "benchmarks.tutorial.app",
    "benchmarks.tutorial.tasks",
    "benchmarks.gpu.ceilings.__main__",
    "benchmarks.gpu.registration",
    *(f"benchmarks.peers.systems.{file.stem}" for file in sorted((BENCHMARKS / "peers" / "systems").glob("[!_]*.py"))),
)


def imported(file: Path) -> set[str]:
    """The top-level packages that a module imports, at its head or inside."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def test_benchmarks_import_nothing_from_the_tests() -> None:
    files = sorted(BENCHMARKS.rglob("*.py"))
    assert len(files) > 100
    assert [str(file) for file in files if "tests" in imported(file)] == []


def reached(module: str) -> set[str]:
    """The modules that a module imports, and in turn those of benchmarks that these import."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        file = BENCHMARKS.parent / f"{name.replace('.', '/')}.py"
        if name in found or not name.startswith("benchmarks") or not file.exists():
            found.add(name)
            continue
        found.add(name)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


@pytest.mark.parametrize("module", INDEPENDENT)
def test_what_darkroom_is_compared_with_shares_no_code_with_it(module: str) -> None:
    modules = reached(module)
    assert len(modules) > 1
    assert not {name for name in modules if name.partition(".")[0] in {"api", "cli", "shared", "worker"}}


def test_an_import_inside_a_function_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def f():\n    from tests.simulation import pictures\n")
    assert "tests" in imported(module)
