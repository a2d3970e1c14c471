"""Programs that the supervisor starts, keeps running and stops.

Over 300 lines: its tests share their helpers.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from cli.stack.supervisor import supervisor as module
from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.programs import Program, log_tail, spawn_command
from cli.stack.supervisor.state import Phase, ProgramState
from cli.stack.supervisor.supervisor import Supervisor
from shared.observability.log_file import LARGEST
from tests.support.documents import ROOT
from tests.support.waiting import LIMIT

SLEEP = "import time; time.sleep(600)"


class Watched:
    """A supervisor run in this process until a condition on its programs' states holds."""

    def __init__(self, home: Path, *programs: Program) -> None:
        self.states: dict[str, ProgramState] = {}
        self._home = home
        self._programs = programs
        self._changed = asyncio.Event()

    def until(self, reached: Callable[[dict[str, ProgramState]], bool]) -> None:
        asyncio.run(self._run(reached))

    async def _run(self, reached: Callable[[dict[str, ProgramState]], bool]) -> None:
        supervisor = Supervisor(
            self._programs, home=self._home, environment=dict(os.environ), changed=lambda now, _: self._note(now)
        )
        running = asyncio.create_task(supervisor.run())
        async with asyncio.timeout(LIMIT):
            while not reached(self.states):
                await self._changed.wait()
                self._changed.clear()
        supervisor.stop()
        await running

    def _note(self, now: list[ProgramState]) -> None:
        self.states = {state.name: state for state in now}
        self._changed.set()


def python(name: str, code: str, **rest: object) -> Program:
    return Program(name=name, role=name, command=(sys.executable, "-c", code), **rest)  # type: ignore[arg-type]


def pid_of(state: ProgramState) -> int | None:
    return state.process.pid if state.process else None


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", timedelta(milliseconds=50))


def test_a_killed_program_is_started_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path, python("sleeper", SLEEP))
    seen: list[int] = []

    def killed_twice(states: dict[str, ProgramState]) -> bool:
        pid = pid_of(states["sleeper"]) if states and states["sleeper"].phase is Phase.READY else None
        if pid is not None and pid not in seen:
            seen.append(pid)
            os.kill(pid, signal.SIGKILL)
        return len(seen) == 3

    watched.until(killed_twice)
    assert len(set(seen)) == 3


def test_a_program_that_prints_for_ever_fills_two_files_at_most(tmp_path: Path) -> None:
    code = """
import os, time
from pathlib import Path
from shared.observability.logs import configure_logging
from shared.settings import Logging
configure_logging(Logging())
older = Path(os.environ["DARKROOM_LOG_FILE"] + ".1")
while not older.exists():
    os.write(1, b"printed\\n" * 100_000)
    time.sleep(0.01)
print("renamed", flush=True)
"""
    logs = tmp_path / "logs"

    def said_so(_: int) -> str:
        # It may still write to the renamed file when it sees that.
        return "" if any(b"renamed" in file.read_bytes()[-20:] for file in logs.glob("predict.log*")) else "not yet"

    environment = {"PYTHONPATH": str(ROOT)}
    watched = Watched(tmp_path, python("predict", f"{code}{SLEEP}", environment=environment, probe=said_so))
    watched.until(lambda states: bool(states) and states["predict"].phase is Phase.READY)
    assert sorted(file.name for file in logs.iterdir()) == ["predict.log", "predict.log.1"]
    assert (logs / "predict.log").stat().st_size < LARGEST


def test_the_log_of_a_program_that_can_not_bound_it_is_cut_while_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOGS_PAUSE", timedelta(milliseconds=50))
    older = tmp_path / "logs" / "redis.log.1"
    code = f"""
import os, time
from pathlib import Path
while not Path({str(older)!r}).exists():
    os.write(1, b"printed\\n" * 100_000)
    time.sleep(0.01)
"""
    watched = Watched(
        tmp_path,
        python("redis", f"{code}{SLEEP}", has_log_cut=True, probe=lambda _: "" if older.exists() else "not yet"),
    )
    watched.until(lambda states: bool(states) and states["redis"].phase is Phase.READY)
    assert older.stat().st_size >= LARGEST
    assert (tmp_path / "logs" / "redis.log").stat().st_size < LARGEST


def pauses_of(caplog: pytest.LogCaptureFixture) -> list[float]:
    return [record.__dict__["pause_s"] for record in caplog.records if record.message == "ended"]


def test_the_pauses_between_starts_grow(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # It never becomes ready: the program always ends before its probe runs.
    watched = Watched(tmp_path, python("crasher", "raise SystemExit(3)", probe=lambda _: "not yet"))
    watched.until(lambda _: len(pauses_of(caplog)) == 3)
    assert pauses_of(caplog) == [0.05, 0.1, 0.2]
    assert "ended with code 3" in watched.states["crasher"].detail


def test_a_program_that_ends_as_soon_as_it_is_ready_backs_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WELL_AFTER", timedelta(seconds=60))
    # Without a probe it is ready when it runs.
    watched = Watched(tmp_path, python("crasher", "raise SystemExit(3)", longest_pause=timedelta(milliseconds=150)))
    watched.until(lambda _: len(pauses_of(caplog)) == 5)
    assert pauses_of(caplog) == [0.05, 0.1, 0.15, 0.15, 0.15]


def test_a_healthy_program_is_restarted_at_once_however_often_it_is_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WELL_AFTER", timedelta(milliseconds=10))
    # It is healthy when it ends: it was ready, and ran for twice as long after that.
    watched = Watched(tmp_path, python("sleeper", "import time; time.sleep(0.15); raise SystemExit(3)"))
    watched.until(lambda _: len(pauses_of(caplog)) == 4)
    assert pauses_of(caplog) == [0.05] * 4


def test_a_pausing_program_restarts_at_once_when_hurried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", timedelta(hours=1))
    marker = tmp_path / "room"
    needs_room = f"import os; assert os.path.exists({str(marker)!r}); {SLEEP}"
    probe_path = tmp_path / "alive"
    program = python("store", f"{needs_room}", probe=lambda _: "" if probe_path.exists() else "no room")

    async def run() -> None:
        changed = asyncio.Event()
        states: dict[str, ProgramState] = {}

        def note(now: list[ProgramState]) -> None:
            states.update({state.name: state for state in now})
            changed.set()

        supervisor = Supervisor(
            [program], home=tmp_path, environment=dict(os.environ), changed=lambda now, _: note(now)
        )
        running = asyncio.create_task(supervisor.run())
        async with asyncio.timeout(LIMIT):
            for phase in (Phase.CRASHED, Phase.READY):
                while not states or states["store"].phase is not phase:
                    changed.clear()
                    await changed.wait()
                marker.touch()
                probe_path.touch()
                supervisor.hurry()
        supervisor.stop()
        await running

    asyncio.run(run())


def test_an_unreadable_log_does_not_prevent_a_restart(tmp_path: Path) -> None:
    loop = tmp_path / "logs" / "crasher.log"
    crash = f"import os; os.remove({str(loop)!r}); os.mkdir({str(loop)!r}); raise SystemExit(3)"
    watched = Watched(tmp_path, python("crasher", crash, probe=lambda _: "not yet"), python("sleeper", SLEEP))
    watched.until(lambda states: bool(states) and states["crasher"].crashes >= 3)
    assert "Is a directory" in watched.states["crasher"].detail


def test_a_crash_shows_the_programs_last_line_of_output(tmp_path: Path) -> None:
    watched = Watched(tmp_path, python("crasher", "raise SystemExit('no such thing')", probe=lambda _: "not yet"))
    watched.until(lambda states: bool(states) and states["crasher"].crashes == 1)
    assert watched.states["crasher"].detail.endswith("it said: no such thing")
    assert log_tail(tmp_path, "crasher", lines=1) == ["no such thing"]


def test_a_crash_shows_the_line_that_names_an_error_of_this_start_alone(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "crasher.log"
    log.parent.mkdir()
    log.write_text("FATAL: of an earlier start\n")
    crash = "raise SystemExit('FATAL: no space left\\nLOG: shut down')"
    watched = Watched(tmp_path, python("crasher", crash, probe=lambda _: "not yet"))
    watched.until(lambda states: bool(states) and states["crasher"].crashes == 1)
    assert watched.states["crasher"].detail.endswith("it said: FATAL: no space left")
    log.write_text("FATAL: of an earlier start\n")
    silent = Watched(tmp_path, python("crasher", "raise SystemExit(3)", probe=lambda _: "not yet"))
    silent.until(lambda states: bool(states) and states["crasher"].crashes == 1)
    assert silent.states["crasher"].detail == "ended with code 3"


def test_a_program_starts_after_what_it_needs_is_ready(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    first = python("first", f"import time; time.sleep(0.2); open({str(marker)!r}, 'w').close()", once=True)
    needs = f"import os; assert os.path.exists({str(marker)!r}); {SLEEP}"
    watched = Watched(tmp_path, python("second", needs, after=("first",)), first)
    watched.until(lambda states: bool(states) and states["second"].phase is Phase.READY)
    assert watched.states["second"].crashes == 0


def test_a_step_that_fails_is_repeated_until_it_exits_0(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    second_time = (
        f"import os; p = {str(marker)!r}; there = os.path.exists(p); open(p, 'w').close(); raise SystemExit(not there)"
    )
    watched = Watched(tmp_path, python("step", second_time, once=True))
    watched.until(lambda states: bool(states) and states["step"].phase is Phase.READY)
    assert watched.states["step"].process is None


def test_a_program_is_ready_when_its_probe_says_so(tmp_path: Path) -> None:
    asked: list[int] = []

    def third_time(pid: int) -> str:
        asked.append(pid)
        return "" if len(asked) == 3 else "loading"

    watched = Watched(tmp_path, python("sleeper", SLEEP, probe=third_time))
    watched.until(lambda states: bool(states) and states["sleeper"].phase is Phase.READY)
    assert len(asked) == 3
    assert len(set(asked)) == 1


def test_a_probe_that_raises_counts_as_not_ready_and_is_repeated(tmp_path: Path) -> None:
    asked: list[str] = []

    def broken_once(_: int) -> str:
        asked.append(watched.states["sleeper"].detail)
        if len(asked) == 1:
            raise ValueError("no such scheme")
        return ""

    watched = Watched(tmp_path, python("sleeper", SLEEP, probe=broken_once))
    watched.until(lambda states: bool(states) and states["sleeper"].phase is Phase.READY)
    assert asked == ["", "ValueError: no such scheme"]


@pytest.mark.parametrize("command", [(sys.executable, "-c", SLEEP), ()])
def test_a_server_that_hangs_is_shown_as_failing_until_it_answers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(module, "WATCH_PAUSE", timedelta(0))
    said = iter(["", "a busy moment", "", "no answer", "no answer", "no answer yet", *[""] * 1000])
    program = Program(name="store", role="store", command=command, probe=lambda _: next(said), is_watched=True)
    seen: list[tuple[str, str]] = []

    def answers_again(states: dict[str, ProgramState]) -> bool:
        if states and (not seen or seen[-1] != (states["store"].phase, states["store"].detail)):
            seen.append((states["store"].phase, states["store"].detail))
        return [phase for phase, _ in seen][-2:] == [Phase.FAILING, Phase.READY]

    with caplog.at_level("INFO"):
        Watched(tmp_path, program).until(answers_again)
    assert seen[-4:] == [
        (Phase.READY, ""), (Phase.FAILING, "no answer"), (Phase.FAILING, "no answer yet"), (Phase.READY, "")
    ]  # fmt: skip
    assert [record.getMessage() for record in caplog.records if "answer" in record.getMessage()] == [
        "not_answering", "answers_again"
    ]  # fmt: skip


def test_an_external_server_is_probed_and_never_started(tmp_path: Path) -> None:
    server = Program(name="redis", role="redis", url="redis://far", probe=lambda _: "")
    watched = Watched(tmp_path, server)
    watched.until(lambda states: bool(states) and states["redis"].phase is Phase.READY)
    assert watched.states["redis"].process is None


def test_programs_stop_in_order_of_rank(tmp_path: Path) -> None:
    ends = tmp_path / "ends"

    def slow(name: str) -> str:
        """A program that takes 0.2 s to stop, then records that it has."""
        return (
            "import signal, time\n"
            f"def stop(*_): time.sleep(0.2); open({str(ends)!r}, 'a').write('{name} '); raise SystemExit\n"
            "signal.signal(signal.SIGTERM, stop)\nprint('set', flush=True)\ntime.sleep(600)"
        )

    def has_set(name: str) -> Callable[[int], str]:
        return lambda _: "" if log_tail(tmp_path, name, lines=1) else "not yet"

    ranks = {"store": 2, "worker": 0, "door": 1}
    programs = [python(name, slow(name), probe=has_set(name), stop_rank=rank) for name, rank in ranks.items()]
    watched = Watched(tmp_path, *programs)
    watched.until(lambda states: bool(states) and all(state.phase is Phase.READY for state in states.values()))
    assert ends.read_text().split() == ["worker", "door", "store"]
    assert {state.phase for state in watched.states.values()} == {Phase.STOPPED}


def test_a_program_that_does_not_stop_is_killed_after_its_grace_period(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    program = python(
        "deaf",
        deaf,
        probe=lambda _: "" if log_tail(tmp_path, "deaf", lines=1) else "not yet",
        stop_patience=timedelta(milliseconds=200),
    )
    watched = Watched(tmp_path, program)
    began = time.monotonic()
    watched.until(lambda states: bool(states) and states["deaf"].phase is Phase.READY)
    assert time.monotonic() - began > 0.2


LEAVES_A_PROCESS = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf])
with open({file!r}, "a") as file:
    print(child.pid, file=file)
"""


def left_behind(file: Path) -> list[ProcessIdentity]:
    """Return the processes whose ids are in the file and that are alive."""
    found = [ProcessIdentity.of(int(pid)) for pid in file.read_text().split()] if file.exists() else []
    return [one for one in found if one is not None]


def test_what_a_program_leaves_behind_when_it_crashes_ends(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    program = python("crashes", LEAVES_A_PROCESS.format(file=str(file)) + "os._exit(3)")
    Watched(tmp_path, program).until(lambda _: file.exists() and len(file.read_text().split()) >= 2)
    assert all(one.wait(timedelta(seconds=LIMIT)) for one in left_behind(file))


def test_what_a_program_leaves_behind_when_it_stops_ends(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    program = python(
        "stops",
        LEAVES_A_PROCESS.format(file=str(file)) + SLEEP,
        probe=lambda _: "" if left_behind(file) else "not yet",
    )
    Watched(tmp_path, program).until(lambda states: bool(states) and states["stops"].phase is Phase.READY)
    assert all(one.wait(timedelta(seconds=LIMIT)) for one in left_behind(file))


def test_a_program_still_being_prepared_at_the_stop_is_never_started(tmp_path: Path) -> None:
    preparing = threading.Event()

    def prepare() -> None:
        preparing.set()
        time.sleep(0.3)

    marker = tmp_path / "marker"
    late = python("late", f"open({str(marker)!r}, 'w').close(); {SLEEP}", prepare=prepare)
    watched = Watched(tmp_path, late, python("sleeper", SLEEP))
    watched.until(lambda states: preparing.is_set() and states["sleeper"].phase is Phase.READY)
    assert not marker.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next `up` ends what is left over")
def test_a_killed_supervisor_leaves_no_program_behind() -> None:
    parent_code = (
        "import os, subprocess, sys; from cli.stack.supervisor.programs import Program, spawn_command\n"
        f"program = Program(name='s', role='s', command=(sys.executable, '-c', {SLEEP!r}))\n"
        "child = subprocess.Popen(spawn_command(program, parent=os.getpid()))\n"
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = ProcessIdentity.of(int(parent.stdout.readline()))
        assert child is not None
        # Until the launcher has become the program, it checks its parent itself.
        assert child.is_alive
        parent.kill()
    assert child.wait(timedelta(seconds=5))


def test_a_program_runs_at_its_niceness() -> None:
    program = Program(name="s", role="s", command=(sys.executable, "-c", "import os; print(os.nice(0))"), niceness=3)
    done = subprocess.run(spawn_command(program, parent=os.getpid()), capture_output=True, check=True)
    assert int(done.stdout) == os.nice(0) + 3


def test_a_launcher_whose_parent_has_ended_starts_nothing() -> None:
    program = Program(name="s", role="s", command=(sys.executable, "-c", "print('ran')"))
    done = subprocess.run(spawn_command(program, parent=1 << 30), capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stdout == b""
