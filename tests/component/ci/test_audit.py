"""The audit of dependencies, with a pip-audit whose report the test makes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
CLEAN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "not found"}
BROKEN = {"name": "c", "version": "2", "vulns": [{"id": "GHSA-1", "fix_versions": ["2.1"]}]}


def audit(folder: Path, dependencies: list[dict[str, Any]] | None) -> "subprocess.CompletedProcess[str]":
    """Run it with a tool that reports these, or fails without a report."""
    tool = folder / "pip-audit"
    write = "" if dependencies is None else f"Path(report).write_text({json.dumps({'dependencies': dependencies})!r})"
    tool.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\n"
        f"report = sys.argv[sys.argv.index('--output') + 1]\n{write}\n"
        f"sys.exit('ConnectionError: nobody answers' if {dependencies is None} else 0)\n"
    )
    tool.chmod(0o755)
    command = [sys.executable, ROOT / ".ci/audit.py", tool]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("dependencies", "code", "says"),
    [
        ([CLEAN, SKIPPED], 0, "1 of 2 packages audited, 0 with known vulnerabilities.\n"),
        (
            [CLEAN, BROKEN], 1,
            "c 2: GHSA-1, fixed in 2.1\n2 of 2 packages audited, 1 with known vulnerabilities.\n",
        ),
        ([SKIPPED], 0, "Not audited: no advisory data can be reached here (none of these packages is known there).\n"),
        (None, 0, "Not audited: no advisory data can be reached here (ConnectionError: nobody answers).\n"),
    ],
)  # fmt: skip
def test_the_audit_fails_on_known_findings_and_reports_a_missing_report(
    tmp_path: Path, dependencies: list[dict[str, Any]] | None, code: int, says: str
) -> None:
    done = audit(tmp_path, dependencies)
    assert (done.returncode, done.stdout) == (code, says), done.stderr
