"""Threads hand Python's lock to each other more often while a version is loaded."""

import sys
import threading

from tests.support.waiting import LIMIT
from worker.process.switch_interval import short_switch_interval


def test_the_interval_is_short_until_the_last_of_overlapping_blocks_ends() -> None:
    before = sys.getswitchinterval()
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with short_switch_interval():
            entered.set()
            leave.wait(LIMIT)

    other = threading.Thread(target=hold)
    with short_switch_interval():
        other.start()
        assert entered.wait(LIMIT)
    assert sys.getswitchinterval() < before
    leave.set()
    other.join()
    assert sys.getswitchinterval() == before
