"""Start a stack and wait until it is ready; stop one. Both are told where on disk, nothing else."""

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

from cli.stack import permissions, ports
from cli.stack.plan import Options
from cli.stack.supervisor import leftovers, state
from cli.stack.supervisor.programs import log_path, log_tail, open_log
from cli.stack.supervisor.state import Phase, ProgramState, StackState
from cli.terminal.refused import Refused

HOPELESS_AFTER: Final = 4
"""Crashes in a row, about 4 s, after which waiting for a program to become ready is given up."""
STOPPING_TIME: Final = timedelta(seconds=90)
_LOOK_PAUSE: Final = 0.1

Watch = Callable[[StackState], None]


class NotReady(SystemExit):
    """A stack was started and something in it does not come up: says what, with the end of its log, exit 1."""


@dataclass(frozen=True, slots=True)
class Started:
    """A stack whose supervisor is our child."""

    supervisor: "subprocess.Popen[bytes]"
    home: Path

    def wait(self) -> None:
        """Return when the stack has stopped, whoever stopped it."""
        self.supervisor.wait()

    def stop(self, watch: Watch) -> None:
        """Stop it and wait for that."""
        stop(self.home, watch)
        self.supervisor.wait()


def start(options: Options, *, attached: bool) -> Started:
    """Start a stack's supervisor; attached, it stops when this process ends.

    Raises Refused where the port is taken or the home can't be ours alone.
    """
    if not ports.is_free(options.port):
        raise Refused(
            f"Port {options.port} is in use by another program. Choose another: darkroom up --port {options.port + 1}"
        )
    try:
        permissions.make_home(options.home)
    except permissions.NotPrivate as error:
        raise Refused(str(error)) from None
    with open_log(options.home, "supervisor") as output:
        supervisor = subprocess.Popen(  # noqa: S603  our own module
            [
                sys.executable,
                "-m",
                "cli.stack.supervisor_process",
                options.to_json(),
                *(["attached"] if attached else []),
            ],
            # Attached, our end of this pipe closes with us. A Ctrl-C in the terminal reaches us alone: we pass it on.
            stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=options.home,
            umask=permissions.UMASK,
            start_new_session=True,
        )
    return Started(supervisor, options.home)


def wait_until_ready(started: Started, *, patience: timedelta, watch: Watch) -> StackState:
    """Return the state when everything is ready; raises NotReady where something is not, or will not be."""
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
        time.sleep(_LOOK_PAUSE)


def stop(home: Path, watch: Watch) -> bool:
    """Stop the stack on a home and wait for that; tell whether there was one. Safe to repeat."""
    found = state.read_state(home)
    if found is None:
        return False
    supervisor = found.supervisor
    was_running = supervisor.is_alive
    supervisor.send(signal.SIGTERM)
    until = time.monotonic() + STOPPING_TIME.total_seconds()
    while supervisor.is_alive and time.monotonic() < until:
        if (now := state.read_state(home)) is not None:
            watch(now)
        _reap(supervisor.pid)
        time.sleep(_LOOK_PAUSE)
    supervisor.end(patience=timedelta(0))
    leftovers.clear_leftovers(home)
    return was_running


def stopping_line(now: StackState) -> str:
    """Return a line that names the programs of a stopping stack that still run."""
    return f"stopping {', '.join(program.name for program in now.programs if program.process is not None)}"


def _reap(pid: int) -> None:
    """Take note of a child's end, so that it is not a zombie for as long as we live."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _what_is_missing(now: StackState, home: Path, *, late: timedelta | None) -> str:
    """Say which programs are not ready and why, with the end of the log of each that fails."""
    missing = [program for program in now.programs if program.phase is not Phase.READY]
    lines = [f"Not everything is ready{f' after {late.total_seconds():.0f} s' if late else ''}:", ""]
    lines += [f"  {program.name}: {program.detail or program.phase}" for program in missing]
    for role in dict.fromkeys(program.role for program in missing if _is_telling(program)):
        lines += ["", f"The end of {log_path(home, role)}:"]
        lines += [f"  {line}" for line in log_tail(home, role, lines=15)]
    return "\n".join(lines)


def _is_telling(program: ProgramState) -> bool:
    """Whether a log may say why: a program that only waits for another has written none."""
    return program.phase is not Phase.WAITING
