import errno
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cli.stack.supervisor import leftovers, state
from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.state import ROLES, Phase, ProgramState, StackState
from cli.status.duties import Duty
from cli.status.facts import SUPERVISOR, status_facts
from cli.status.processes import Family, Usage
from cli.status.service import Service


def stack(supervisor: ProcessIdentity) -> StackState:
    api = ProgramState("api", "api", url="http://127.0.0.1:1", phase=Phase.READY, process=ProcessIdentity(7, 8))
    predict = [
        ProgramState(f"predict{n}", "predict", metrics_url=f"http://{n}/metrics", process=ProcessIdentity(n, n))
        for n in (1, 2)
    ]
    return StackState(
        supervisor, "http://127.0.0.1:1", ["digits"], {"A": "b"}, "/tmp/s",  # noqa: S108
        networks=["127.0.0.0/8"], programs=[api, *predict],
    )  # fmt: skip


def me() -> ProcessIdentity:
    identity = ProcessIdentity.of(os.getpid())
    assert identity is not None
    return identity


def test_a_written_state_is_read_back(tmp_path: Path) -> None:
    written = stack(me())
    state.write_state(tmp_path, written)
    assert state.read_state(tmp_path) == written
    assert (tmp_path / "state.json").stat().st_mode & 0o077 == 0


def test_a_stack_whose_supervisor_is_dead_is_not_running(tmp_path: Path) -> None:
    state.write_state(tmp_path, stack(me()))
    assert state.running_stack(tmp_path) is not None
    # The same pid with another start time: another process.
    state.write_state(tmp_path, stack(replace(me(), began=1)))
    assert state.running_stack(tmp_path) is None


def test_a_state_file_of_another_release_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"programs": [], "colour": "red"}')
    assert state.read_state(tmp_path) is None


def test_a_process_that_ended_is_not_alive_even_before_anyone_waits_for_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = ProcessIdentity.of(process.pid)
        assert identity is not None
        assert identity.is_alive
        assert not identity.wait(timedelta(0))
        assert process.stdin is not None
        process.stdin.close()
        assert identity.wait(timedelta(seconds=5))
        assert ProcessIdentity.of(process.pid) is None


def test_end_kills_reliably_and_may_be_repeated() -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", deaf], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        identity = ProcessIdentity.of(process.pid)
        assert identity is not None
        identity.end(patience=timedelta(milliseconds=100))
        identity.end(patience=timedelta(milliseconds=100))
        assert not identity.is_alive


def all_running(stack: StackState) -> dict[int, Family]:
    """The processes of a stack, all of which run."""
    return {process.pid: {process: Usage(1.0, 1)} for process in (stack.supervisor, *stack.processes())}


def test_leftovers_of_a_dead_supervisor_are_ended_and_no_other_process(tmp_path: Path) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        ours = ProcessIdentity.of(process.pid)
        assert ours is not None
        left = replace(stack(ProcessIdentity(1 << 30, 0)), sockets=str(sockets))
        # The second has this process's pid with another start time: an earlier process that had the pid.
        for program, identity in zip(left.programs, (ours, replace(me(), began=1)), strict=False):
            program.process = identity
        state.write_state(tmp_path, left)
        leftovers.clear_leftovers(tmp_path)
        leftovers.clear_leftovers(tmp_path)
        assert not ours.is_alive
    assert not sockets.exists()
    assert state.read_state(tmp_path) is None


def test_leftovers_are_cleared_where_the_disk_has_become_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (tmp_path / "sockets").mkdir()
    state.write_state(tmp_path, StackState(ProcessIdentity(1 << 30, 0), "", [], {}, str(tmp_path / "sockets")))
    monkeypatch.setattr(state, "remove_state", refuses)
    leftovers.clear_leftovers(tmp_path)
    assert not (tmp_path / "sockets").exists()
    assert state.running_stack(tmp_path) is None


def test_status_has_every_role_whether_or_not_a_stack_runs() -> None:
    running = status_facts(stack(me()), Service(), all_running(stack(me())))
    assert tuple(running) == tuple(status_facts(None, Service(), {})) == (*ROLES, SUPERVISOR)
    assert (running[SUPERVISOR]["pids"], running[SUPERVISOR]["state"]) == ([os.getpid()], "ready")
    assert running["api"] == {"url": "http://127.0.0.1:1", "pids": [7], "state": "ready", "metrics_urls": []}
    assert running["predict"] == {
        "url": None,
        "pids": [1, 2],
        "state": "waiting",
        "metrics_urls": ["http://1/metrics", "http://2/metrics"],
        "tried": {},
    }
    assert running["redis"]["pids"] == status_facts(None, Service(), {})["api"]["pids"] == []


def test_a_role_that_runs_but_does_no_work_is_not_ready() -> None:
    running = stack(me())
    for program in running.programs:
        program.phase = Phase.READY
    api = running.programs[0]
    service = Service(duties={api.role: Duty("missing", "no sign of life")})
    assert status_facts(running, service, all_running(running))[api.role]["state"] == "missing"
    api.phase = Phase.CRASHED
    assert status_facts(running, service, all_running(running))[api.role]["state"] == "crashed"


def test_every_role_with_a_suspended_process_is_shown_so() -> None:
    running = stack(me())
    for program in running.programs:
        program.phase = Phase.READY
    for process in (running.supervisor, *running.processes()):
        child = ProcessIdentity(process.pid + 1000, 1)
        families = all_running(running) | {
            process.pid: {process: Usage(1.0, 1), child: Usage(1.0, 1, is_suspended=True)}
        }
        facts = status_facts(running, Service(), families)
        (wrong,) = [role for role, fact in facts.items() if fact["state"] == "suspended"]
        assert process.pid in facts[wrong]["pids"]  # type: ignore[operator]
