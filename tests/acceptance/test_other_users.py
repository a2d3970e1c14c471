"""What another user of the machine finds of a running stack."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from conftest import Stack

NOBODY = 65534
REACHES = """
import json, os, socket, sys
os.setgroups([]); os.setgid(NOBODY); os.setuid(NOBODY)
def reach(path, kind):
    try:
        if kind == "folder":
            os.listdir(path)
        elif kind == "socket":
            socket.socket(socket.AF_UNIX).connect(path)
        else:
            open(path, "rb").close()
    except OSError:
        try:
            open(path, "ab").close() if kind == "file" else os.mkdir(path + "/new")
        except OSError:
            return False
    return True
print(json.dumps([path for path, kind in json.load(sys.stdin) if reach(path, kind)]))
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def reached_by_nobody(paths: list[Path]) -> list[Any]:
    """Which of these another user can list, read, write or connect to, told one by one where they are."""
    asked = [(str(path), kind(path)) for path in paths]
    program = [sys.executable, "-I", "-S", "-c", REACHES.replace("NOBODY", str(NOBODY))]
    done = subprocess.run(program, input=json.dumps(asked), capture_output=True, text=True, check=True)
    found: list[Any] = json.loads(done.stdout)
    return found


def kind(path: Path) -> str:
    mode = path.stat().st_mode
    return "folder" if stat.S_ISDIR(mode) else "socket" if stat.S_ISSOCK(mode) else "file"


def everything_in(folder: Path) -> list[Path]:
    return [folder, *(path for path in folder.rglob("*") if path.exists() and not path.is_symlink())]


def test_another_user_reads_nothing_under_the_home_and_reaches_no_socket(stack: "Stack") -> None:
    stack.darkroom("submit", "--wait", *map(str, stack.images[:5]))
    stack.darkroom("bulk", str(stack.images[0].parent))
    sockets = Path(stack.status()["redis"]["url"].removeprefix("unix://")).parent
    paths = everything_in(stack.home) + everything_in(sockets)
    assert {"redis", "logs", "mlflow", "held-out", "bulk", "ports", "postgres"} <= {path.name for path in paths}
    assert {"redis.sock", ".s.PGSQL.5432"} <= {path.name for path in paths if kind(path) == "socket"}
    assert reached_by_nobody(paths) == []
    # Others get as far as the home: it is what keeps them out, no folder above it.
    assert reached_by_nobody([stack.home.parent]) or stack.home.parent.stat().st_mode & stat.S_IXOTH


def test_another_user_reads_nothing_that_the_processes_have_open(stack: "Stack") -> None:
    pids = [pid for role in stack.status().values() for pid in role["pids"]]
    processes = [process for pid in pids for process in (psutil.Process(pid), *psutil.Process(pid).children())]
    opened = {Path(file.path) for process in processes for file in process.open_files()}
    installed = (Path(sys.prefix), Path(sys.base_prefix), Path("/usr"), Path("/dev/null"))
    ours = [path for path in opened if path.exists() and not any(path.is_relative_to(place) for place in installed)]
    assert any(path.name.startswith("appendonly") for path in ours)
    assert reached_by_nobody(ours) == []


def test_nothing_that_runs_can_make_what_others_read(stack: "Stack") -> None:
    pids = [pid for role in stack.status().values() for pid in role["pids"]]
    masks = {pid: _umask(pid) for pid in pids}
    assert set(masks.values()) == {0o077}, masks


def _umask(pid: int) -> int:
    facts = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(facts["Umask"], 8)
