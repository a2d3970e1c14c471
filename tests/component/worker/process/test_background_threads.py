"""A worker ends when one of its vital threads fails, and logs why."""

import subprocess
import sys

import pytest

from tests.support.waiting import LIMIT
from worker.process.exit_statuses import THREAD_DIED_EXIT

PROGRAM = """
import logging, time
logging.basicConfig(format="%(levelname)s %(message)s %(of)s")
{begin}
time.sleep(60)
"""


def run(begin: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", PROGRAM.format(begin=begin)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)


@pytest.mark.parametrize("end", ["raise ValueError('no')", "raise SystemExit(0)", "raise KeyboardInterrupt", "exit()"])
def test_an_error_in_a_vital_thread_ends_the_process(end: str) -> None:
    ended = run(
        f"from worker.process.background_threads import vital_thread\n"
        f"def work():\n {end}\nvital_thread(work, name='leases').start()"
    )
    assert ended.returncode == THREAD_DIED_EXIT, ended.stderr
    assert ended.stderr.startswith("CRITICAL thread_died leases\n")


def test_a_periodic_thread_survives_errors_and_exits_but_nothing_worse() -> None:
    ended = run(
        "from datetime import timedelta\nfrom worker.process.background_threads import PeriodicThread\nimport time\n"
        "ends = [ValueError, SystemExit, GeneratorExit]\n"
        "def work():\n raise ends.pop(0)\n"
        "logging.disable(logging.WARNING)\n"
        "PeriodicThread(work, pause=timedelta(milliseconds=1), name='renew').start()"
    )
    assert ended.returncode == THREAD_DIED_EXIT, ended.stderr
    assert "GeneratorExit" in ended.stderr


def test_a_courier_that_fails_to_start_ends_its_process() -> None:
    ended = run(
        "from shared.settings import Webhooks\nfrom worker.webhooks.courier import Courier\n"
        "def sender():\n raise OSError('no sockets left')\n"
        "Courier(None, settings=Webhooks(), tokens=None, sender=sender, collect=None, metrics=None).start()"
    )
    assert ended.returncode == THREAD_DIED_EXIT, ended.stderr
    assert "no sockets left" in ended.stderr
