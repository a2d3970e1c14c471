import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from cli.stack.supervisor.identity import ProcessIdentity
from cli.status.processes import families, started_at
from cli.status.role_states import suspended_pid
from tests.support.waiting import until

# Both hold 50 MB each; the parent says when they do.
HOLD = "held = b'x' * 50_000_000; "
CHILD = HOLD + "print(flush=True); input()"
PARENT = HOLD + (
    "import subprocess, sys\n"
    f"with subprocess.Popen([sys.executable, '-c', {CHILD!r}], stdin=-1, stdout=-1) as child:\n"
    "    child.stdout.readline(); print(child.pid, flush=True); input()"
)


def test_a_family_is_a_process_with_its_children_and_their_usage() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        family = families([parent.pid, os.getpid()])[parent.pid]
        assert set(family) == {ProcessIdentity.of(parent.pid), ProcessIdentity.of(child)}
        assert all(used.memory > 50_000_000 for used in family.values())
        assert all(used.seconds > 0 for used in family.values())
    assert families([parent.pid]) == {}


def test_a_child_that_heads_a_family_of_its_own_counts_there_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        both = families([parent.pid, child])
        assert {pid: {member.pid for member in family} for pid, family in both.items()} == {
            parent.pid: {parent.pid},
            child: {child},
        }


def test_a_process_that_a_signal_stops_is_suspended_until_it_is_continued() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert suspended_pid(families([parent.pid])[parent.pid]) is None
        os.kill(child, signal.SIGSTOP)
        until(lambda: suspended_pid(families([parent.pid])[parent.pid]) == child)
        os.kill(child, signal.SIGCONT)
        until(lambda: suspended_pid(families([parent.pid])[parent.pid]) is None)


def test_a_running_process_has_a_start_time_and_an_ended_one_none() -> None:
    mine = started_at(os.getpid())
    assert mine is not None
    assert timedelta(0) < datetime.now(UTC) - mine < timedelta(hours=3)
    assert started_at(1 << 30) is None
