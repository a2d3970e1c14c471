"""Checks requirements.lock for known vulnerabilities: `python .ci/audit.py`, part of `make check`.

Exits 1 where a pinned version has one. Where no advisories can be reached it says so and passes, so that a machine
without internet can run the other checks.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

# Advisories that do not apply to Darkroom, each with the reason, as `"GHSA-…": "why"`.
ACCEPTED: dict[str, str] = {}


def main() -> int:
    """Run pip-audit and print what it found."""
    command = [sys.argv[1] if len(sys.argv) > 1 else str(Path(sys.executable).with_name("pip-audit"))]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command += ["--requirement", "requirements.lock", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        command += ["--format", "json", "--output", str(report)]
        command += [word for advisory in ACCEPTED for word in ("--ignore-vuln", advisory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  the tool beside this Python
        found = json.loads(report.read_text())["dependencies"] if report.exists() and report.stat().st_size else []
    audited = [one for one in found if "skip_reason" not in one]
    if not audited:
        said = done.stderr.strip().splitlines()
        why = said[-1][:200] if said and not found else "none of these packages is known there"
        sys.stdout.write(f"Not audited: no advisory data can be reached here ({why}).\n")
        return 0
    broken = [one for one in audited if one["vulns"]]
    for one in broken:
        for advisory in one["vulns"]:
            fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
            sys.stdout.write(f"{one['name']} {one['version']}: {advisory['id']}, fixed in {fixed}\n")
    sys.stdout.write(f"{len(audited)} of {len(found)} packages audited, {len(broken)} with known vulnerabilities.\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
