"""Processor time of processes that a test watches, and processes that it suspends."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator

import psutil


def own_seconds(process: psutil.Process) -> float:
    """Return the processor seconds that a process has used so far; 0 where it has ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def processor_seconds(*processes: psutil.Process) -> float:
    """Return the processor seconds so far of these processes and of all that they started."""
    return sum(own_seconds(one) for first in processes for one in (first, *first.children(recursive=True)))


@contextlib.contextmanager
def suspended(pids: Iterable[int]) -> Iterator[None]:
    """Suspend processes during the block (SIGSTOP); those that have ended are left out.

    Whatever happens, none stays suspended: whoever asked it next would wait for ever.
    """
    pids = list(pids)
    try:
        _send(pids, signal.SIGSTOP)
        yield
    finally:
        _send(pids, signal.SIGCONT)


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
