"""Forty seconds of `make soak`: kills, cut connections, a full disk and promotions; then ledger and records agree."""

import os
import subprocess
import sys

import pytest

from tests.support.program_forks import FORKED, ROOT, SOCKET, Forked, Kind, keep_running, socket_path

SECONDS, SEED = 40, "11"


@pytest.mark.timeout(600)  # a stack's start and stop, and the time in which all has to settle
def test_after_faults_under_load_ledger_and_records_agree() -> None:
    command = [sys.executable, "-m", "tests.soak", "--seconds", str(SECONDS), "--mean-gap", "1.7", "--seed", SEED]
    keep_running(Kind.OTHERS)
    forking = {FORKED: Forked.ALL, SOCKET: str(socket_path()), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=os.environ | forking, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
