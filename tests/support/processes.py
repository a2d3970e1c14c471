"""Processor time of processes that a test watches."""

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
