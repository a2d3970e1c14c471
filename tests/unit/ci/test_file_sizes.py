"""Files stay small: one of more than 300 lines says in its head why it is one."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("api", "benchmarks", "cli", "deploy", "docs", "examples", "shared", "tests", "worker")
# Kinds of files that people write, with how many of each there are at least.
KINDS = {"py": 300, "lua": 10, "js": 30, "css": 10}
MOST_LINES = 300
HEAD_LINES = 12
OTHERS = ("vendor", "docs/assets", "node_modules")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_over_300_lines_says_why(kind: str) -> None:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob(f"*.{kind}")]
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").splitlines() for path in found}
    ours = {name: lines for name, lines in texts.items() if not any(other in name for other in OTHERS)}
    assert len(ours) >= KINDS[kind]
    long = {name: "\n".join(lines[:HEAD_LINES]) for name, lines in ours.items() if len(lines) > MOST_LINES}
    assert [name for name, head in long.items() if "Over 300 lines: " not in head] == []
