"""Made-up snapshots of a stack for the tests of `darkroom status`."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.state import Phase, ProgramState, StackState
from cli.status.processes import Usage
from cli.status.service import Service
from cli.status.snapshots import Snapshot
from shared.domain.status.computation import figures_of
from shared.domain.status.process_figures import SEPARATOR, Growth, ProcessFigures, Published

CLOCK = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ME = ProcessIdentity(1, 1)


def program(name: str, *, pid: int = 7, began: int = 1, phase: Phase = Phase.READY, detail: str = "") -> ProgramState:
    """A program whose role is its name without a number."""
    return ProgramState(
        name, name.rstrip("0123456789"), phase=phase, detail=detail, process=ProcessIdentity(pid, began)
    )


def stack(*programs: ProgramState, models: tuple[str, ...] = ("digits",)) -> StackState:
    return StackState(ME, "http://127.0.0.1:8000", list(models), {}, "", programs=list(programs))


def snapshot(
    at: float,
    *programs: ProgramState,
    service: Service | None = None,
    families: Mapping[int, dict[ProcessIdentity, Usage]] | None = None,
    models: tuple[str, ...] = ("digits",),
    gone: Collection[int] = (),
) -> Snapshot:
    """A snapshot; the programs' processes run, except those with these pids."""
    running = {one.process.pid: {} for one in programs if one.process and one.process.pid not in gone}
    return Snapshot(
        at=at,
        clock=CLOCK,
        began=CLOCK,
        state=stack(*programs, models=models),
        service=service or Service(),
        families=running | dict(families or {}),
        troubles=(),
    )


def published(
    *roles: str,
    pid: int = 7,
    grown: Mapping[str, Mapping[tuple[str, ...], float]] | None = None,
    values: Mapping[str, Mapping[tuple[str, ...], float]] | None = None,
    silent: float = 0.0,
    **facts: Any,
) -> Published:
    """What a process publishes: counters by how much they `grown` within two seconds, and `values`, by labels."""
    figures = ProcessFigures(
        name=f"host-{pid}",
        roles=roles,
        host="host",
        pid=pid,
        up_seconds=60.0,
        values=_joined(values or {}),
        grown={10: Growth(seconds=2.0, series=_joined(grown or {}))},
        facts=facts,
    )
    return Published(figures=figures, silent_seconds=silent)


def service(*processes: Published) -> Service:
    """What is read of these processes."""
    return Service(figures=figures_of(processes, {}, now_seconds=0.0), processes=processes)


def _joined(series: Mapping[str, Mapping[tuple[str, ...], float]]) -> dict[str, dict[str, float]]:
    return {
        f"darkroom_{name}": {SEPARATOR.join(labels): value for labels, value in by_labels.items()}
        for name, by_labels in series.items()
    }
