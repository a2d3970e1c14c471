"""Made-up snapshots of a stack for the tests of `darkroom status`."""

from collections.abc import Mapping
from datetime import UTC, datetime

from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.state import Phase, ProgramState, StackState
from cli.status.processes import Usage
from cli.status.scraping import Scrape, Series
from cli.status.snapshots import Snapshot

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
    scrapes: Mapping[str, Scrape] | None = None,
    families: Mapping[int, dict[ProcessIdentity, Usage]] | None = None,
    models: tuple[str, ...] = ("digits",),
) -> Snapshot:
    return Snapshot(
        at=at,
        clock=CLOCK,
        began=CLOCK,
        state=stack(*programs, models=models),
        scrapes=dict(scrapes or {}),
        families=dict(families or {}),
        troubles=(),
    )


def told(values: Mapping[tuple[str, str], float] | None = None, **numbers: float) -> Scrape:
    """What was exported: `{"name{label=value,…}": …}` as pairs of name and labels, or plain names."""
    labelled = {
        Series(name, tuple(sorted(tuple(pair.split("=")) for pair in labels.split(",")))): value  # type: ignore[misc]
        for (name, labels), value in (values or {}).items()
    }
    return Scrape(labelled | {Series(name): value for name, value in numbers.items()})


SILENT = Scrape(trouble="no answer within 1 s")
