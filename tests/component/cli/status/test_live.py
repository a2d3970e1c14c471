import os
import re
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.support.terminals import Seat, seated
from tests.support.waiting import LIMIT

pytestmark = pytest.mark.slow  # each in an interpreter of its own

ENTERED, LEFT, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"
# Each drawing shows the number of the snapshot, the width of the terminal and how many drawings there were.
PROGRAM = """
import itertools, sys, time
from datetime import timedelta
from rich.console import Console
from cli.status.live import Pauses, show_live
from tests.support.status_snapshots import snapshot
console, numbers, drawings = Console(), itertools.count(1), itertools.count(1)
def take():
    {}
    return snapshot(float(next(numbers)))
def draw(snapshots):
    return f"snapshot {{snapshots[-1].at:g}} width {{console.width}} drawing {{next(drawings)}}"
show_live(take, draw, console, pauses=Pauses(timedelta(seconds={}), timedelta(seconds={})))
"""


def program(take: str = "pass", *, pauses: tuple[float, float] = (0.3, 0.3)) -> list[str]:
    """A program that runs `take` at each snapshot."""
    return [sys.executable, "-c", PROGRAM.format(take, *pauses)]


@pytest.fixture
def seat() -> Iterator[Seat]:
    with seated(program()) as seat:
        yield seat


def assert_left_well(seat: Seat) -> None:
    assert seat.process.wait(timeout=LIMIT) == 0
    assert seat.modes() == seat.modes_before
    raw = seat.read_rest()
    assert raw.count(ENTERED) == raw.count(LEFT) > 0
    assert raw.rindex(LEFT) > raw.rindex(ENTERED)
    assert raw.rindex(CURSOR) > raw.rindex(ENTERED)
    assert b"Traceback" not in raw


def test_each_snapshot_is_drawn_over_the_last_one(seat: Seat) -> None:
    seat.read_until("snapshot 2")
    assert seat.modes() != seat.modes_before
    seat.press(b"x\x1b[A")
    seat.read_until("snapshot 3")
    # Clearing the screen would flicker.
    assert b"\x1b[2J" not in seat.raw[seat.raw.index(b"snapshot") :]
    seat.press(b"q")
    assert_left_well(seat)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_live_view(seat: Seat, number: signal.Signals) -> None:
    seat.read_until("snapshot 1")
    seat.process.send_signal(number)
    assert_left_well(seat)


def test_the_live_view_ends_with_its_terminal(seat: Seat) -> None:
    seat.read_until("snapshot 1")
    seat.hang_up()
    seat.process.wait(timeout=LIMIT)


def test_a_resized_terminal_is_redrawn_at_once() -> None:
    with seated(program(pauses=(60, 60))) as seat:
        seat.read_until("snapshot 1 width 100")
        seat.resize(columns=60, rows=20)
        seat.process.send_signal(signal.SIGWINCH)
        seat.read_until("snapshot 1 width 60")


def test_suspended_it_restores_the_terminal_and_continues_afterwards(seat: Seat) -> None:
    seat.read_until("snapshot 1")
    seat.process.send_signal(signal.SIGTSTP)
    _, status = os.waitpid(seat.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert seat.modes() == seat.modes_before
    assert LEFT in seat.read_rest()
    seat.process.send_signal(signal.SIGCONT)
    seat.read_until("snapshot 2")
    assert seat.modes() != seat.modes_before
    seat.press(b"Q")
    assert_left_well(seat)


def test_while_a_snapshot_hangs_the_page_is_drawn_and_a_key_ends_it() -> None:
    with seated(program("next(numbers) > 2 and time.sleep(3600)")) as seat:
        seat.read_until("snapshot 2 width 100")
        seat.read_until("drawing 4")
        seat.press(b"q")
        assert_left_well(seat)


def test_a_snapshot_that_fails_is_reported_and_the_terminal_restored() -> None:
    with seated(program("raise ValueError('no such figure')")) as seat:
        assert seat.process.wait(timeout=LIMIT) == 1
        assert seat.modes() == seat.modes_before
        last = re.sub(rb"\x1b\[[0-9;]*m", b"", seat.read_rest().split(LEFT)[-1])  # Python 3.13 colours it
        assert b"ValueError: no such figure" in last
