"""Runs many `darkroom` commands from one interpreter, each in a fork with arguments, home and streams of its own.

A fork has what its parent has imported; a process of its own would need a third of a second of a core each time. As a
program it takes the commands from a socket, pickled, each with the files that become its output and tell its end.
"""

import atexit
import gc
import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, BinaryIO, Self

from tests.support.fork_interpreter import run_and_end
from tests.support.program_forks import FORKED, without_settings

ROOT = Path(__file__).parents[2]
COMMANDS = ("audit", "bulk", "down", "keys", "migrate", "models", "purge", "status", "submit")
MODULES = ("cli.main", "cli.commands", "cli.webhooks.listen", *(f"cli.{command}.run" for command in COMMANDS))
CHANGES = (b"canary", b"challenger", b"keep", b"promote", b"rollback", b"shadow")
"""Commands of `models` that ask the registry through MLflow, whose import takes them 1 of 1.2 seconds of a core: from
the first of them on, the interpreter has it too."""


@dataclass(frozen=True)
class Ended:
    """A command's exit status, and all that it wrote."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Running:
    """A command that was started: its process id, its output as it is written."""

    pid: int
    stdout: IO[str]
    _stderr: IO[str]
    _told: BinaryIO

    def send_signal(self, which: signal.Signals) -> None:
        os.kill(self.pid, which)

    def ended(self) -> Ended:
        """Wait for the end; the output is what has not been read yet."""
        with self.stdout, self._stderr, self._told:
            stdout = self.stdout.read()
            returncode = int(self._told.readline())
            self._stderr.seek(0)
            return Ended(returncode, stdout, self._stderr.read())


class CommandForks:
    """An interpreter with this environment; what it starts ends with it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.command_forks", str(theirs.fileno())],
                env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true"}, cwd=ROOT, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip

    def start(
        self, *arguments: str | bytes, home: str | bytes | Path, folder: Path | None = None, **environment: str
    ) -> Running:
        """Start a command, in a folder or in the repository's; keywords are added to its environment."""
        output, written = os.pipe()
        told, tell = os.pipe()
        stderr = TemporaryFile("w+", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115  read at its end
        request = (tuple(map(os.fsencode, arguments)), os.fsencode(home), folder or ROOT, environment)
        socket.send_fds(self._socket, [pickle.dumps(request)], [written, stderr.fileno(), tell])
        os.close(written)
        os.close(tell)
        reports = os.fdopen(told, "rb")
        return Running(
            int(reports.readline()),
            os.fdopen(output, encoding="utf-8", errors="surrogateescape"),
            stderr,
            reports,
        )

    def run(
        self, *arguments: str | bytes, home: str | bytes | Path, folder: Path | None = None, **environment: str
    ) -> Ended:
        """Run a command to its end."""
        return self.start(*arguments, home=home, folder=folder, **environment).ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        with self._process:  # waits, and closes its output
            pass


@cache
def command_forks() -> CommandForks:
    """Return the interpreter that this process's stacks run their commands in, without settings; it ends with it."""
    forks = CommandForks(without_settings())
    atexit.register(forks.__exit__, None, None, None)
    return forks


def _serve(requests: socket.socket) -> None:
    _import(*MODULES)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, files, _, _ = socket.recv_fds(requests, 65536, 3)
        if not request:
            return
        asked = pickle.loads(request)  # noqa: S301  our own
        if asked[0][:1] == (b"models",) and any(change in asked[0] for change in CHANGES):
            _import("mlflow.tracking")
        if os.fork() == 0:
            requests.close()
            _keep(*asked, *files)
        for file in files:
            os.close(file)


def _import(*modules: str) -> None:
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # else each fork goes through all of it as it ends: a quarter of a second


def _keep(
    arguments: tuple[bytes, ...],
    home: bytes,
    folder: Path,
    environment: dict[str, str],
    stdout: int,
    stderr: int,
    tell: int,
) -> None:
    """Fork once more, tell the command's process id and, when it has ended, its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        for file in (stdout, stderr, tell):
            os.close(file)
        os.chdir(folder)
        _become(arguments, home, environment)
    os.close(stdout)
    os.write(tell, b"%d\n" % child)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(tell, b"%d\n" % status)
    os._exit(0)


def _become(arguments: tuple[bytes, ...], home: bytes, environment: dict[str, str]) -> None:
    """Go on as the command."""
    os.environ.update(environment)
    os.environb[b"DARKROOM_HOME"] = home
    sys.argv[:] = ["darkroom", *map(os.fsdecode, arguments)]
    from cli.main import app  # noqa: PLC0415
    from tests.support import forked_command  # noqa: PLC0415

    run_and_end(forked_command.main if FORKED in environment else app)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
