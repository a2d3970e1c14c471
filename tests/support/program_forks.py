"""Starts Python programs as forks of an interpreter, which has imported other people's libraries that they import.

Torch, MLflow, Celery and what comes with them take a predict worker four of the five seconds of a core that its start
takes. A fork has them at once, a gateway's also Darkroom's modules; then it is the same program, with the arguments,
environment, log, folder and niceness that it would have had. All processes of a run share an interpreter, which the
first of them starts and which ends with the last: `fork_interpreter`.
"""

import fcntl
import functools
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]


def without_settings() -> dict[str, str]:
    """Return this process's environment without what points programs elsewhere: a developer's settings, or a test's.

    MLflow keeps the address of the registry that a process uses in its environment.
    """
    settings = ("DARKROOM_", "FLOWER_", "MLFLOW_")
    return {name: value for name, value in os.environ.items() if not name.startswith(settings)}


class Kind(StrEnum):
    """An interpreter: of gateways, or of everything else, which metrics of a gateway's must not come into."""

    GATEWAY = "gateway"
    OTHERS = "others"


SOCKET, FORKED = "FORKS_SOCKET", "FORKED_PROGRAMS"
"""Variables of a stack's supervisor that starts forks: where the interpreter listens, and which programs are forks."""


class Forked(StrEnum):
    """Which of a stack's Python programs are forks: all; MLflow, the training and what is started again; or none."""

    ALL = "all"
    AGAIN = "again"
    NONE = "none"


@dataclass(frozen=True)
class Program:
    """What is started: `python -m MODULE ARGUMENT…`, or `python -c` where the module is code.

    `orphan_signal` is sent to it when whoever had it started has ended. `descriptors` is how many files it may have
    open, unless it allows itself more; None: as many as the interpreter.
    """

    module: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    is_code: bool = False
    niceness: int = 0
    umask: int = 0o022
    descriptors: int | None = None
    orphan_signal: int = signal.SIGKILL


class Fork:
    """A program's process: what tests use of `subprocess.Popen`. It gets its `orphan_signal` when this is dropped."""

    def __init__(self, pid: int, ended: IO[bytes]) -> None:
        self.pid = pid
        self._ended = ended
        self._status: int | None = None

    def fileno(self) -> int:
        """Return what can be read once its exit status is known; not to be used after that."""
        return self._ended.fileno()

    def poll(self) -> int | None:
        """Return its exit status, None while it runs; negative where a signal ended it."""
        if self._status is None and select.select([self._ended], [], [], 0)[0]:
            with self._ended:
                self._status = int(self._ended.readline())
        return self._status

    @property
    def returncode(self) -> int | None:
        """Its exit status; None until `poll` or `wait` has seen its end."""
        return self._status

    def wait(self, timeout: float = 60) -> int:
        """Return its exit status; raises `subprocess.TimeoutExpired` where it has not ended in that many seconds."""
        until = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("a fork", timeout)
            select.select([self._ended], [], [], 0.5)
        return status

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, which: int) -> None:
        # The status is told before the process id is free for another process.
        if self.poll() is None:
            os.kill(self.pid, which)


_alone = threading.Lock()


def start(program: Program, *, log: int) -> Fork:
    """Start a program; what it writes goes to the file whose descriptor is `log`. Threads may."""
    told, tell = os.pipe()
    kind = Kind.GATEWAY if program.module == "api.server" else Kind.OTHERS
    with _alone:
        socket.send_fds(_connection(kind), [pickle.dumps(program)], [log, tell])
        os.close(tell)
        reports = os.fdopen(told, "rb", buffering=0)
        return Fork(int(reports.readline()), reports)


def run(program: Program, *, seconds: float = 280) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end; its errors are among its output. It may take so many seconds."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        status = start(program, log=log.fileno()).wait(timeout=seconds)
        log.seek(0)
        return subprocess.CompletedProcess([program.module, *program.arguments], status, log.read())


def keep_running(kind: "Kind") -> None:
    """Have an interpreter run until this process ends, also while nobody else uses it."""
    with _alone:
        _connection(kind)


def socket_path() -> Path:
    """Return where this run's interpreters listen, but for the end of their names."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    return Path(os.environ.get(SOCKET) or f"{tempfile.gettempdir()}/forks-{run[:16]}")


@functools.cache
def _connection(kind: Kind) -> socket.socket:
    """Connect to an interpreter, which serves for as long as anybody is connected; start it where nobody has."""
    path = Path(f"{socket_path()}-{kind}")
    connection = socket.socket(socket.AF_UNIX)
    with Path(tempfile.gettempdir(), f"forks-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen(64)
                connection.connect(str(path))
                _begin(kind, listener)
    return connection


_begun: "list[subprocess.Popen[bytes]]" = []
"""The interpreter, where this process began it: it is kept, since nobody waits for its end."""


def _begin(kind: Kind, listener: socket.socket) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.fork_interpreter", kind, str(listener.fileno())]
    interpreter = subprocess.Popen(
        command, cwd=ROOT, env=without_settings() | {"MLFLOW_DISABLE_TELEMETRY": "true"}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, pass_fds=[listener.fileno()], start_new_session=True,
    )  # fmt: skip
    _begun.append(interpreter)
