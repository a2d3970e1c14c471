"""Text files are read and written as UTF-8, whatever the machine's locale: one without a name for it has ASCII."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHIPPED = [path for folder in ("api", "cli", "shared", "worker") for path in sorted((ROOT / folder).rglob("*.py"))]
# Digits alone, by the kernel or by us: every encoding has them.
DIGITS = {
    "cli/stack/ports.py", "cli/stack/servers/postgres.py", "cli/stack/servers/redis.py",
    "cli/stack/supervisor/identity.py", "shared/observability/process_figures.py", "worker/models/memory.py",
    "worker/models/versions/load_attempts.py", "worker/models/versions/memory_budget.py",
}  # fmt: skip
TEXT = re.compile(r"\.(?:read|write)_text\((?!.*encoding=)|(?<![.\w])open\([^)]*, \"[wra]\"(?!.*encoding=)")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_text_says_its_encoding(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() not in DIGITS:
        assert [line for line in path.read_text(encoding="utf-8").splitlines() if TEXT.search(line)] == []
