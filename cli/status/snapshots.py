"""Snapshots of everything that runs on a home."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cli.stack.supervisor import state
from cli.stack.supervisor.programs import log_path
from cli.stack.supervisor.state import StackState
from cli.stack.unwritable_disks import unwritable_disks
from cli.status import processes
from cli.status.errors import Logs, Trouble
from cli.status.processes import Family
from cli.status.service import Service, read_service
from shared.queue.inspection import status_board

PAUSE: Final = timedelta(seconds=1)
"""Between two snapshots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of a home at one moment."""

    at: float
    """Monotonic clock, seconds."""
    clock: datetime
    state: StackState | None
    """None where nothing runs."""
    began: datetime | None
    """When the stack was started."""
    families: dict[int, Family]
    """By the pid of the program's own process."""
    troubles: Sequence[Trouble]
    service: Service = field(default_factory=Service)
    """What the processes publish, as it was read last."""
    heard_at: float | None = None
    """When it was read: monotonic clock, seconds. None where Redis has never answered."""
    unwritable_disks: Sequence[str] = ()
    """A line for each disk of the home that is full or read-only."""


class SnapshotReader:
    """Takes snapshots of one home; while Redis does not answer they keep what it answered last."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._logs = Logs(log_path(home, "supervisor").parent)
        self._service = Service()
        self._heard_at: float | None = None

    def read(self) -> Snapshot:
        """Take a snapshot; it takes some seconds at most, where Redis does not answer."""
        found = state.running_stack(self._home)
        at, clock = time.monotonic(), datetime.now().astimezone()
        if found and (service := read_service(self._home)) is not None:
            self._service, self._heard_at = service, time.monotonic()
        return Snapshot(
            at=at,
            clock=clock,
            state=found,
            began=processes.started_at(found.supervisor.pid) if found else None,
            families=processes.families(pids_of(found)) if found else {},
            troubles=self._logs.newest(),
            service=self._service if found else Service(),
            heard_at=self._heard_at if found else None,
            unwritable_disks=unwritable_disks(self._home),
        )


def pids_of(state: StackState) -> list[int]:
    """Return the processes that head a family: the supervisor and each program's own."""
    return [process.pid for process in (state.supervisor, *state.processes())]


def read_two(reader: SnapshotReader) -> list[Snapshot]:
    """Return two snapshots: one alone shows no CPU; between them every process has published its figures."""
    first = reader.read()
    time.sleep((status_board.PAUSE + PAUSE / 2).total_seconds())
    return [first, reader.read()]
