"""Start a stack, wait until it is ready, stop it: what other processes do with a stack, given only its home."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cli.stack import permissions, preflight
from cli.stack.plan import Options
from cli.stack.supervisor import leftovers, state
from cli.stack.supervisor.programs import log_path, log_tail, open_log
from cli.stack.supervisor.state import Phase, ProgramState, StackState
from cli.stack.unwritable_disks import unwritable_disks
from cli.terminal.refused import Refused

HOPELESS_AFTER: Final = 4
"""Crashes in a row, about 4 s of them, after which `wait_until_ready` gives up on a program."""
STOPPING_TIME: Final = timedelta(seconds=90)
SUPERVISOR: Final = "cli.stack.supervisor_process"
_POLL_PAUSE: Final = 0.1

Watch = Callable[[StackState], None]


class NotReady(SystemExit):
    """A started stack does not become ready: says which program and why, with the end of its log; exit 1."""


@dataclass(frozen=True, slots=True)
class Started:
    """A stack whose supervisor is a child of this process."""

    supervisor: "subprocess.Popen[bytes]"
    home: Path

    def wait(self) -> None:
        """Block until the stack has stopped, whoever stopped it."""
        self.supervisor.wait()

    def stop(self, watch: Watch) -> None:
        """Stop it; return when it has stopped."""
        stop(self.home, watch)
        self.supervisor.wait()


def start(options: Options, *, attached: bool) -> Started:
    """Start a stack's supervisor; attached, it stops when this process ends.

    Raises Refused where gateways can't share a port, or the home can't be made private or written to, and SettingsError
    for a setting that can't be used.
    """
    if options.gateways > 1 and sys.platform != "linux":
        raise Refused("Several gateways share a port on Linux only. Start one: --gateways 1")
    preflight.check_settings()
    preflight.check_limits()
    preflight.make_home(options.home)
    with open_log(options.home, "supervisor") as output:
        supervisor = subprocess.Popen(  # noqa: S603  our own module
            [
                sys.executable,
                "-m",
                SUPERVISOR,
                options.to_json(),
                *(["attached"] if attached else []),
            ],
            # Attached: the pipe closes when this process ends, and the supervisor then stops. It has a session of its
            # own, so Ctrl-C reaches only this process, which then stops the stack.
            stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=options.home,
            umask=permissions.UMASK,
            start_new_session=True,
        )
    return Started(supervisor, options.home)


def wait_until_ready(started: Started, *, patience: timedelta, watch: Watch) -> StackState:
    """Return the state once everything is ready; raises NotReady after `patience`, or sooner where it is hopeless."""
    until = time.monotonic() + patience.total_seconds()
    while True:
        ended = started.supervisor.poll() is not None
        now = state.read_state(started.home)
        if ended:
            last = log_tail(started.home, "supervisor", lines=1)
            raise NotReady(f"The stack ended while starting: {last[0] if last else 'it said nothing'}")
        if now is not None and now.supervisor.pid == started.supervisor.pid and now.supervisor.is_alive:
            watch(now)
            if now.is_ready:
                return now
            late = time.monotonic() > until
            if late or any(program.crashes >= HOPELESS_AFTER for program in now.programs):
                raise NotReady(_what_is_missing(now, started.home, late=patience if late else None))
        time.sleep(_POLL_PAUSE)


def stop(home: Path, watch: Watch) -> bool:
    """Stop the stack on a home, return when it has stopped; True where one ran. Safe to repeat."""
    found = state.read_state(home)
    if found is None:
        return False
    supervisor = found.supervisor
    was_running = supervisor.is_alive
    supervisor.send(signal.SIGTERM)
    supervisor.send(signal.SIGCONT)  # suspended, it would not take the other
    until = time.monotonic() + STOPPING_TIME.total_seconds()
    while supervisor.is_alive and time.monotonic() < until:
        if (now := state.read_state(home)) is not None:
            watch(now)
        _reap(supervisor.pid)
        time.sleep(_POLL_PAUSE)
    supervisor.end(patience=timedelta(0))
    leftovers.clear_leftovers(home)
    return was_running


def stopping_line(now: StackState) -> str:
    """Return a line that names the programs of a stopping stack that still run."""
    return f"stopping {', '.join(program.name for program in now.programs if program.process is not None)}"


def _reap(pid: int) -> None:
    """Reap the supervisor where it is a child of this process, else it would stay a zombie and count as alive."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _what_is_missing(now: StackState, home: Path, *, late: timedelta | None) -> str:
    """Return text that names the programs that are not ready and why, with the end of each failing one's log."""
    missing = [program for program in now.programs if program.phase is not Phase.READY]
    lines = [f"Not everything is ready{f' after {late.total_seconds():.0f} s' if late else ''}:", ""]
    lines += [f"  {program.name}: {program.detail or program.phase}" for program in missing]
    lines += ["", *full] if (full := unwritable_disks(home)) else []
    for role in dict.fromkeys(program.role for program in missing if _is_telling(program)):
        lines += ["", f"The end of {log_path(home, role)}:"]
        lines += [f"  {line}" for line in log_tail(home, role, lines=15)]
    return "\n".join(lines)


def _is_telling(program: ProgramState) -> bool:
    """Whether the program's log may say why: one that only waits for another has written nothing."""
    return program.phase is not Phase.WAITING
