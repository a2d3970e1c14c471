"""`python -m tests.fuzz TARGET… [--seconds N]`: search with Atheris (libFuzzer) for inputs that are findings.

`make fuzz` installs Atheris and runs all targets. A finding is written into tests/fuzz/found/TARGET, where the tests
replay it from then on.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import MOST_BYTES, TARGETS

FOUND: Final = Path(__file__).parent / "found"
MEMORY_MEBIBYTES: Final = 1024
# Of the clock; processor time, which other work does not lengthen, is bounded by the targets.
HANGS_AFTER_SECONDS: Final = 30


def main() -> int:
    """Run each target in a process of its own; return 1 where there is a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all, if none is named: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no target is named {', '.join(sorted(unknown))}")
    failed = [name for name in options.targets or TARGETS if not _run(name, options.seconds)]
    print("findings in:", ", ".join(failed) if failed else "none")  # noqa: T201
    return 1 if failed else 0


def _run(name: str, seconds: int) -> bool:
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="darkroom-fuzz-") as folder:
        for number, seed in enumerate(seeds(name)):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        command = [
            *(sys.executable, "-m", "tests.fuzz.child", name, folder, str(found)),
            *(f"-max_total_time={seconds}", f"-max_len={3 * MOST_BYTES}", f"-timeout={HANGS_AFTER_SECONDS}"),
            *(f"-rss_limit_mb={MEMORY_MEBIBYTES}", f"-artifact_prefix={found}/", "-print_final_stats=1"),
        ]
        return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
