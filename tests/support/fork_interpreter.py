"""The interpreter that programs of tests are forks of: `python -m tests.support.fork_interpreter KIND LISTENER`.

It takes the programs from a Unix socket, whose descriptor LISTENER is, and ends when nobody is connected any more.
"""

import contextlib
import gc
import importlib
import os
import pickle
import resource
import runpy
import select
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tests.support.program_forks import Kind, Program
from worker.process.ending import exit_with

MODULES = {
    Kind.GATEWAY: ("api.main", "uvloop"),
    Kind.OTHERS: (
        *("celery.apps.worker", "celery.bin.celery", "celery.concurrency.solo", "celery.concurrency.thread"),
        *("flower.command", "kombu.transport.redis", "psycopg2", "sqlalchemy.dialects.postgresql.psycopg2"),
        *("alembic.command", "fastapi", "httpx", "orjson", "PIL.Image", "pydantic_settings", "uvicorn", "uvloop"),
        *("torch", "torch.export.pt2_archive._package", "torchvision"),
        *("mlflow", "mlflow.pytorch", "mlflow.store.tracking.sqlalchemy_store"),
    ),
}


def _serve(kind: Kind, listener: socket.socket) -> None:
    gc.disable()
    for module in MODULES[kind]:
        importlib.import_module(module)
    gc.enable()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    connected = selectors.DefaultSelector()
    connected.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in connected.select():
            if key.fileobj is listener:
                connected.register(listener.accept()[0], selectors.EVENT_READ)
            elif not _serve_one(key.fileobj, connected):  # type: ignore[arg-type]
                connected.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
                if len(connected.get_map()) == 1:
                    Path(listener.getsockname()).unlink(missing_ok=True)  # the run may have removed its folder
                    os._exit(0)  # native libraries would log what the collector was kept from


def _serve_one(client: socket.socket, connected: selectors.BaseSelector) -> bool:
    """Start what a client asks for; False where it has gone."""
    request, files, _, _ = socket.recv_fds(client, 1 << 20, 2)
    if not request:
        return False
    if os.fork() == 0:
        # A connection that lived on in a fork would not end with its client.
        for key in list(connected.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        connected.close()
        _keep(pickle.loads(request), *files)  # noqa: S301  our own
    for file in files:
        os.close(file)
    return True


def _keep(program: Program, log: int, tell: int) -> None:
    """Fork once more, tell the program's process id and, when it has ended, its exit status."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for file in (log, tell, woken, wake):
            os.close(file)
        run_and_end(lambda: _run(program))
    os.close(log)
    os.write(tell, b"%d\n" % child)
    watched = select.poll()
    watched.register(woken, select.POLLIN)
    watched.register(tell, 0)  # an error there: nobody reads any more
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if any(file == tell for file, _ in watched.poll()):
            os.kill(child, program.orphan_signal)
            watched.unregister(tell)
        else:
            os.read(woken, 64)
    with contextlib.suppress(BrokenPipeError):
        os.write(tell, b"%d\n" % _status(child))
    os._exit(0)


def _status(child: int) -> int:
    found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert found is not None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def run_and_end(program: Callable[[], object]) -> NoReturn:
    """End this process as a program that does this ends, but without taking apart what the interpreter has imported."""
    try:
        program()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001  as the interpreter does
        traceback.print_exc()
        status = 1
    exit_with(status)


def _run(program: Program) -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("python -c" if program.is_code else program.module)
    os.nice(program.niceness)
    os.umask(program.umask)
    if program.descriptors is not None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (program.descriptors, most))
    os.chdir(program.folder)
    os.environ.clear()
    os.environ.update(program.environment)
    sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    sys.path[0] = str(program.folder)
    for folder in reversed(list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))):
        sys.path.insert(1, folder)
    if program.is_code:
        sys.argv[:] = ["-c", *program.arguments]
        exec(program.module, {"__name__": "__main__"})  # noqa: S102  as `python -c` does
    else:
        sys.argv[:] = [program.module, *program.arguments]
        runpy.run_module(program.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve(Kind(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
