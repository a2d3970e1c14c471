"""A process with a stuck micro-batch ends and logs why."""

import subprocess
import sys

from tests.support.waiting import LIMIT
from worker.process.exit_statuses import STUCK_EXIT

PROGRAM = """
import logging
from datetime import timedelta
from worker.predict.leases import LeasedEntries
from worker.predict.watchdog import Watchdog
logging.basicConfig(format="%(levelname)s %(message)s %(seconds)s")
now = [0.0]
leased = LeasedEntries(lambda: now[0])
watchdog = Watchdog(leased, longest=timedelta(seconds=120), before_end=lambda: print("last", flush=True))
with leased.hold([]):
    now[0] = 120
    watchdog.check()
    now[0] = 121
    watchdog.check()
"""


def test_what_comes_before_the_end_may_fail_or_hang() -> None:
    for last in ("1 / 0", "threading.Event().wait()"):
        program = PROGRAM.replace('print("last", flush=True)', last)
        program = (
            "import threading, worker.predict.watchdog as one\nfrom datetime import timedelta\n"
            + program.replace("now = [0.0]", "one.PATIENCE = timedelta(seconds=0.1)\nnow = [0.0]")
        )
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=LIMIT, check=False)
        assert ended.returncode == STUCK_EXIT


def test_a_micro_batch_over_its_time_limit_ends_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (ended.returncode, ended.stderr, ended.stdout) == (STUCK_EXIT, "CRITICAL batch_stuck 121.0\n", "last\n")
