"""Text files are read and written as UTF-8, whatever the machine's locale: one without a name for it has ASCII."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SHIPPED = [path for folder in ("api", "cli", "shared", "worker") for path in sorted((ROOT / folder).rglob("*.py"))]
# Digits alone, by the kernel or by us: every encoding has them.
DIGITS = {
    "cli/stack/ports.py", "cli/stack/servers/postgres.py", "shared/observability/process_figures.py",
    "worker/models/memory.py",
}  # fmt: skip
TEXT = re.compile(r"\.(?:read|write)_text\((?!.*encoding=)|(?<![.\w])open\([^)]*, \"[wra]\"(?!.*encoding=)")


def test_text_says_its_encoding() -> None:
    """One test for all files: hundreds of tests cost more than what they check."""
    paths = {path.relative_to(ROOT).as_posix(): path for path in SHIPPED}
    assert len(paths) > 500
    assert [
        f"{name}: {line}"
        for name, path in paths.items()
        if name not in DIGITS
        for line in path.read_text(encoding="utf-8").splitlines()
        if TEXT.search(line)
    ] == []
