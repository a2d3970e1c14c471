"""A fork is the program that it stands for: its words, surroundings, output and end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.program_forks import ROOT, SOCKET, Kind, Program, keep_running, run, socket_path, start
from tests.support.waiting import until

SURROUNDINGS = (
    "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), os.nice(0), os.umask(0)]))"
)
ENVIRONMENT = {"PATH": os.environ["PATH"], "OF_ITS_OWN": "é"}
ORPHANING = f"""
import os, sys
from pathlib import Path
from tests.support.program_forks import Program, start
code = "import time; print('runs', flush=True); time.sleep(600)"
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
fork = start(Program(code, (), {ENVIRONMENT}, Path("/"), is_code=True), log=log)
print(fork.pid, flush=True)
sys.stdin.read()
"""


def test_it_has_the_words_environment_folder_niceness_and_mask_that_it_is_given(tmp_path: Path) -> None:
    given = Program(SURROUNDINGS, ("a", "b c"), ENVIRONMENT, tmp_path, is_code=True, niceness=3, umask=0o077)
    done = run(given)
    assert done.returncode == 0, done.stdout
    before = os.nice(0)
    assert json.loads(done.stdout) == [["a", "b c"], str(tmp_path), ENVIRONMENT, before + 3, 0o077]


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("print('well')", 0, "well\n"),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('why')", 1, "why\n"),
        ("raise ValueError('why')", 1, "ValueError: why\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("import atexit; atexit.register(print, 'at its end')", 0, "at its end\n"),
        ("import threading; threading.Timer(0.1, print, ['late']).start()", 0, "late\n"),
    ],
)  # fmt: skip
def test_it_ends_as_a_program_ends(code: str, status: int, says: str, tmp_path: Path) -> None:
    done = run(Program(code, (), ENVIRONMENT, tmp_path, is_code=True))
    assert (done.returncode, done.stdout.endswith(says)) == (status, True), done.stdout


def test_a_module_runs_as_a_program(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("import sys; print(__name__, sys.argv[1:])")
    done = run(Program("hello", ("a",), ENVIRONMENT, tmp_path))
    assert done.stdout == "__main__ ['a']\n"


def test_it_ends_with_whoever_had_it_started(tmp_path: Path) -> None:
    keep_running(Kind.OTHERS)
    environment = os.environ | {SOCKET: str(socket_path()), "PYTHONPATH": str(ROOT)}
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANING, log], env=environment, stdin=-1, stdout=-1, text=True
    ) as starter:
        assert starter.stdout is not None
        fork = int(starter.stdout.readline())
        until(lambda: log.read_text() == "runs\n", what="it runs")
        starter.kill()
    until(lambda: not psutil.pid_exists(fork), what="it has ended")


def test_a_signal_reaches_it(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        fork = start(Program("import time; time.sleep(600)", (), ENVIRONMENT, tmp_path, is_code=True), log=log.fileno())
    assert fork.poll() is None
    fork.terminate()
    assert fork.wait() == -signal.SIGTERM
    fork.kill()
