"""Files stay small: one of more than 300 lines says in its head why it is one."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDERS = ("api", "benchmarks", "cli", "docs", "shared", "tests", "worker")
MOST_LINES = 300


def test_a_file_over_300_lines_says_why() -> None:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 300
    long = [path for path in paths if path.read_text().count("\n") > MOST_LINES]
    heads = {path: ast.get_docstring(ast.parse(path.read_text())) or "" for path in long}
    assert [str(path.relative_to(ROOT)) for path, head in heads.items() if "Over 300 lines: " not in head] == []
