"""Processes that a benchmark starts end with all that they started."""

import sys
from pathlib import Path

import psutil

from benchmarks.stack import servers
from tests.support.waiting import until

LEAVES_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
"""


def test_a_child_that_a_server_leaves_behind_ends_too(tmp_path: Path) -> None:
    written = tmp_path / "pid"
    with servers.process([sys.executable, "-c", LEAVES_A_CHILD, str(written)], log=tmp_path / "log"):
        until(lambda: written.exists() and written.read_text().isdecimal())
        child = int(written.read_text())
        assert psutil.pid_exists(child)
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
