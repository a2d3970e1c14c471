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
watchdog = Watchdog(leased, longest=timedelta(seconds=120))
with leased.hold([]):
    now[0] = 120
    watchdog.check()
    now[0] = 121
    watchdog.check()
"""


def test_a_micro_batch_over_its_time_limit_ends_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (ended.returncode, ended.stderr) == (STUCK_EXIT, "CRITICAL batch_stuck 121.0\n")
