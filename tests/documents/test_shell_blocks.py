"""README.md and docs/quickstart.md do what they say: their shell blocks, run unchanged from top to bottom.

They run in a copy of the repository, on a stack of its own. The blocks name port 8000, which may be taken: in the copy,
`darkroom up` and `curl` are wrappers that put a free port in its place.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import ROOT, missing, shell_blocks
from tests.support.ports import free_port
from tests.support.stack import COMMAND, ENVIRONMENT

_MARK = "---------- block"


class Copy:
    """A copy of the repository, as after `make install` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        left_out = shutil.ignore_patterns(
            ".git", ".venv", ".darkroom", "build", "results", "tests", ".*_cache", "__pycache__"
        )
        shutil.copytree(ROOT, folder, ignore=left_out, dirs_exist_ok=True)
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        for program in Path(sys.executable).parent.iterdir():
            if program != COMMAND:
                (programs / program.name).symlink_to(program)
        port = free_port()
        arguments = 'if [ "$1" = up ]; then shift; set -- up --port ' + str(port) + ' "$@"; fi'
        _write_program(programs / "darkroom", f'{arguments}\nexec {COMMAND} "$@"')
        wrappers = folder / ".venv" / "wrappers"
        wrappers.mkdir()
        curl = shutil.which("curl")
        _write_program(wrappers / "curl", f'exec {curl} "${{@//127.0.0.1:8000/127.0.0.1:{port}}}"')
        (folder / ".venv" / ".installed").touch()
        # No `make` of a run of tests is this one's.
        outer = {name: value for name, value in ENVIRONMENT.items() if not name.startswith(("MAKE", "MFLAGS"))}
        self.environment = outer | {"PATH": f"{wrappers}:{os.environ['PATH']}"}

    def run(self, scripts: list[str], *, seconds: float) -> tuple[int | None, list[str]]:
        """Run the blocks in one shell; return its exit code, None if time was up, and what each of them printed."""
        output = self.folder / "output.txt"
        # What runs on in the background has the output too: a pipe would never end.
        with output.open("w") as file, subprocess.Popen(
            ["bash", "-e", "-c", "".join(f"echo {_MARK}\n{script}" for script in scripts)],
            cwd=self.folder, env=self.environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
        ) as shell:  # fmt: skip
            try:
                code: int | None = shell.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                if shell.returncode is None or code != 0:
                    os.killpg(shell.pid, signal.SIGTERM)
        return code, output.read_text(errors="replace").split(f"{_MARK}\n")[1:]

    def stop(self) -> None:
        """Stop the stack, if one still runs."""
        command = [self.folder / ".venv" / "bin" / "darkroom", "down"]
        subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, timeout=100, check=False)


def _write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(tmp_path)
    yield copy
    copy.stop()


@pytest.mark.timeout(460)
@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_the_blocks_of_a_document_work_and_print_what_it_shows(name: str, copy: Copy) -> None:
    blocks = shell_blocks((ROOT / name).read_text())
    assert len(blocks) > 2
    code, printed = copy.run([block.script for block in blocks], seconds=400)
    assert code == 0, printed[-1][-3000:]
    for block, output in zip(blocks, printed, strict=True):
        if block.prints:
            piece = missing(block.prints, output)
            assert piece is None, f"{block.script}did not print {piece!r}, but:\n{output}"
