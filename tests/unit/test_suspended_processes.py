"""Processes that tests suspend run on afterwards, whatever ends meanwhile: what asks a suspended one waits for ever."""

import subprocess
import sys

import psutil

from tests.support.processes import suspended
from tests.support.waiting import until


def test_a_process_that_has_ended_leaves_none_suspended() -> None:
    with (
        subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as alive,
        subprocess.Popen(["/bin/true"]) as ended,
    ):
        ended.wait()
        process = psutil.Process(alive.pid)
        with suspended([alive.pid, ended.pid]):
            until(lambda: process.status() == psutil.STATUS_STOPPED, what="it is suspended")
        until(lambda: process.status() != psutil.STATUS_STOPPED, what="it runs on")
        alive.communicate(b"\n")
