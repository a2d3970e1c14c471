"""Forty seconds of `make soak`: kills, cut connections, a full disk and promotions; then ledger and records agree."""

import subprocess
import sys

import pytest

SECONDS, SEED = 40, "11"


@pytest.mark.timeout(600)  # a stack's start and stop, and the time in which all has to settle
def test_after_faults_under_load_ledger_and_records_agree() -> None:
    command = [sys.executable, "-m", "tests.soak", "--seconds", str(SECONDS), "--mean-gap", "1.7", "--seed", SEED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
