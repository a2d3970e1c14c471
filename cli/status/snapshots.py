"""Snapshots of everything that runs on a home."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cli.stack.supervisor import state
from cli.stack.supervisor.programs import log_path
from cli.stack.supervisor.state import StackState
from cli.status import duties, processes, scraping, tried_versions
from cli.status.duties import Duty
from cli.status.errors import Logs, Trouble
from cli.status.processes import Family
from cli.status.scraping import Scrape
from shared.domain.model_route import Route

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
    scrapes: dict[str, Scrape]
    """By the program's name."""
    families: dict[int, Family]
    """By the pid of the program's own process."""
    troubles: Sequence[Trouble]
    duties: Mapping[str, Duty] = field(default_factory=dict)
    """Roles whose processes run but whose work is late or missing, by role."""
    routes: Mapping[str, Route] = field(default_factory=dict)
    """What serves, by model."""


class SnapshotReader:
    """Takes snapshots of one home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._logs = Logs(log_path(home, "supervisor").parent)

    def read(self) -> Snapshot:
        """Take a snapshot; it takes at most about a second, where a process does not answer."""
        found = state.running_stack(self._home)
        programs = found.programs if found else []
        at, clock = time.monotonic(), datetime.now().astimezone()
        urls = {program.name: program.metrics_url for program in programs if program.metrics_url and program.process}
        return Snapshot(
            at=at,
            clock=clock,
            state=found,
            began=processes.started_at(found.supervisor.pid) if found else None,
            scrapes=scraping.scrape_all(urls),
            families=processes.families([program.process.pid for program in programs if program.process]),
            troubles=self._logs.newest(),
            duties=duties.ask_gateway(found) if found else {},
            routes=tried_versions.read_routes(self._home) if found else {},
        )


def read_two(reader: SnapshotReader) -> list[Snapshot]:
    """Return two snapshots: one alone shows no rate."""
    first = reader.read()
    time.sleep(PAUSE.total_seconds())
    return [first, reader.read()]
