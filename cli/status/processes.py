"""CPU time and memory of a stack's processes, children included."""

from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

import psutil

from cli.stack.supervisor.identity import ProcessIdentity

Family = dict[ProcessIdentity, "Usage"]
"""A process with its children and theirs."""


class Usage(NamedTuple):
    """One process: processor time since it began, its own memory in bytes, and whether it can run at all."""

    seconds: float
    memory: int
    is_suspended: bool = False
    """Whether a signal has stopped it (SIGSTOP, SIGTSTP): it runs on after SIGCONT."""


def families(pids: Collection[int]) -> dict[int, Family]:
    """Return the usage of each of these processes and its children; those that are gone are left out.

    A child that is one of `pids` counts in its own family alone.
    """
    children = _children()
    heads = set(pids)
    return {pid: _family(pid, children, heads=heads) for pid in pids if psutil.pid_exists(pid)}


def started_at(pid: int) -> datetime | None:
    """Return when a process was started; None where it is gone."""
    try:
        return datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC)
    except psutil.NoSuchProcess:
        return None


def _children() -> dict[int, list[int]]:
    """Return the children of every process, in one pass over all processes."""
    children = defaultdict(list)
    for process in psutil.process_iter(["ppid"]):
        children[process.info["ppid"]].append(process.pid)
    return children


def _family(pid: int, children: dict[int, list[int]], *, heads: set[int]) -> Family:
    family: Family = {}
    waiting = [pid]
    while waiting:
        member = waiting.pop()
        waiting += [child for child in children[member] if child not in heads]
        identity, used = ProcessIdentity.of(member), _usage(member, is_child=member != pid)
        if identity is not None and used is not None:
            family[identity] = used
    return family


def _usage(pid: int, *, is_child: bool) -> Usage | None:
    """Return a process's usage; of a child's memory only what is not shared, so that Postgres' buffers count once."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times, memory, state = process.cpu_times(), process.memory_info(), process.status()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    shared = getattr(memory, "shared", 0) if is_child else 0
    return Usage(times.user + times.system, max(0, memory.rss - shared), state == psutil.STATUS_STOPPED)
