"""Starts Celery workers as forks of one interpreter, which has imported what they import.

A worker's imports (Celery, torch, MLflow) take three seconds of a core; a fork has them at once, and then runs the same
command with arguments, environment and a log of its own. As a program it takes the workers from a socket.
"""

import atexit
import functools
import gc
import importlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
MODULES = (
    *("celery.apps.worker", "celery.bin.celery", "celery.concurrency.solo", "celery.concurrency.thread"),
    *("kombu.transport.redis", "worker.main", "worker.tasks"),
    *("worker.roles.predict", "worker.roles.record", "worker.roles.upkeep", "worker.roles.webhooks"),
    *("mlflow", "mlflow.pytorch", "torch", "torchvision"),
)


class WorkerFork:
    """A worker's process: what tests use of `subprocess.Popen`."""

    def __init__(self, pid: int, ended: IO[bytes]) -> None:
        self.pid = pid
        self._ended = ended
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return its exit status, None while it runs; negative where a signal ended it."""
        if self._status is None and select.select([self._ended], [], [], 0)[0]:
            with self._ended:
                self._status = int(self._ended.readline())
        return self._status

    def wait(self, timeout: float = 60) -> int:
        """Return its exit status; raises `subprocess.TimeoutExpired` where it has not ended in that many seconds."""
        until = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("celery worker", timeout)
            select.select([self._ended], [], [], 0.5)
        return status

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, which: signal.Signals) -> None:
        # The status is told before the process id is free for another process.
        if self.poll() is None:
            os.kill(self.pid, which)


def start_worker(arguments: tuple[str, ...], *, environment: dict[str, str], log: IO[bytes]) -> WorkerFork:
    """Start `celery` with these arguments and this environment; what it writes goes to the log."""
    told, tell = os.pipe()
    socket.send_fds(_forks(), [pickle.dumps((arguments, environment))], [log.fileno(), tell])
    os.close(tell)
    reports = os.fdopen(told, "rb", buffering=0)
    return WorkerFork(int(reports.readline()), reports)


@functools.cache
def _forks() -> socket.socket:
    """Start the interpreter that the workers are forks of; it ends with this process."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.worker_forks", str(theirs.fileno())],
            cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
        )  # fmt: skip

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(requests: socket.socket) -> None:
    for module in MODULES:
        importlib.import_module(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, files, _, _ = socket.recv_fds(requests, 65536, 2)
        if not request:
            return
        if os.fork() == 0:
            requests.close()
            _keep(*pickle.loads(request), *files)  # noqa: S301  our own
        for file in files:
            os.close(file)


def _keep(arguments: tuple[str, ...], environment: dict[str, str], log: int, tell: int) -> None:
    """Fork once more, tell the worker's process id and, when it has ended, its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.close(tell)
        _become(arguments, environment)
    os.close(log)
    os.write(tell, b"%d\n" % child)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    os.write(tell, b"%d\n" % _status(child))
    os._exit(0)


def _status(child: int) -> int:
    found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert found is not None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _become(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    """Go on as the worker: SystemExit and exceptions end this process as they end any."""
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = ["celery", *arguments]
    from celery.__main__ import main  # noqa: PLC0415

    main()
    sys.exit()


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
