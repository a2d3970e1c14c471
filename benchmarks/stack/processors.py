"""CPU time and memory of process trees, by role: what a job costs, and where."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil


def _seconds(process: psutil.Process) -> float:
    """Return a process's time, with that of its children which have ended and were waited for."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _family(pids: Iterable[int]) -> dict[int, psutil.Process]:
    """Return the processes and all their living descendants, each once."""
    family = {}
    for pid in pids:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            family[process.pid] = process
    return family


def _families(roles: Mapping[str, Iterable[int]]) -> dict[str, list[psutil.Process]]:
    """Return each role's processes and their living descendants, but those that are another role's: a supervisor's."""
    heads = {role: set(pids) for role, pids in roles.items()}
    families = {role: _family(pids) for role, pids in heads.items()}
    found = {}
    for role, family in families.items():
        below = [other for other, pids in heads.items() if not pids.isdisjoint(family.keys() - heads[role])]
        others = {pid for other in below for pid in families[other]}
        found[role] = [process for pid, process in family.items() if pid not in others]
    return found


def spent(roles: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Return seconds of processor time per role so far, each role given by its processes' ids.

    A process counts once: a supervisor's children in their own roles, where those are given.
    A Postgres backend that has ended counts through its parent. The kernel counts in steps of 10 ms, so
    a difference of two readings is good to 1% when a role has worked for two seconds in between.
    """
    totals = {}
    for role, processes in _families(roles).items():
        total = 0.0
        for process in processes:
            try:
                total += _seconds(process)
            except psutil.NoSuchProcess:
                continue  # it ended between the listing and the reading, and now counts through its parent
        totals[role] = total
    return totals


def thread_seconds(roles: Mapping[str, Iterable[int]]) -> dict[str, dict[int, float]]:
    """Return by role the seconds of processor time of each living thread of its processes, by the thread's id."""
    found: dict[str, dict[int, float]] = {}
    for role, processes in _families(roles).items():
        found[role] = {}
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                found[role] |= {thread.id: thread.user_time + thread.system_time for thread in process.threads()}
    return found


def busiest_threads(
    before: Mapping[str, Mapping[int, float]], after: Mapping[str, Mapping[int, float]], *, seconds: float
) -> dict[str, float]:
    """Return by role the share of a core that its busiest thread used: near 1, that thread is the limit."""
    return {
        role: max((spent - before[role].get(id, 0.0) for id, spent in threads.items()), default=0.0) / seconds
        for role, threads in after.items()
    }


def resident_mebibytes(pids: Iterable[int]) -> float:
    """Return the resident memory of process trees."""
    total = 0
    for process in _family(pids).values():
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def resident_megabytes(pids: Iterable[int]) -> float:
    """Return the resident memory of processes, without their children."""
    return _status_megabytes(pids, "VmRSS")


def forget_peak(pids: Iterable[int]) -> None:
    """Let the processes' peak be what they hold now (proc_pid_clear_refs(5))."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_megabytes(pids: Iterable[int]) -> float:
    """Return the most memory that was resident since `forget_peak`: the kernel's own mark, which misses no moment."""
    return _status_megabytes(pids, "VmHWM")


def _status_megabytes(pids: Iterable[int], name: str) -> float:
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return total * 1024 / 1e6


def milliseconds_each(before: Mapping[str, float], after: Mapping[str, float], *, jobs: int) -> dict[str, float]:
    """Return milliseconds of processor time per job and role between two readings."""
    return {role: (after[role] - before[role]) * 1000 / jobs for role in before}
