"""Rates of counters, from the metrics of several snapshots."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cli.stack.supervisor.identity import ProcessIdentity
from cli.status.scraping import Series
from cli.status.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class _Answer:
    """The metrics of one program in one snapshot."""

    at: float
    process: ProcessIdentity | None
    values: Mapping[Series, float]


def rates(
    snapshots: Sequence[Snapshot], *, role: str, name: str, by: Callable[[Series], str]
) -> dict[str, float] | None:
    """Return the increase per second of a role's counters of one name, summed by the key that `by` gives a series.

    None where no program of the role has metrics in two snapshots.
    """
    told = [answers for program in _programs(snapshots, role) if len(answers := _answers(snapshots, program)) > 1]
    if not told:
        return None
    grown: dict[str, float] = defaultdict(float)
    for answers in told:
        seconds = answers[-1].at - answers[0].at
        for series, increase in _increases(answers):
            if series.name == name:
                grown[by(series)] += increase / seconds
    return dict(grown)


def _programs(snapshots: Sequence[Snapshot], role: str) -> list[str]:
    state = snapshots[-1].state
    return [program.name for program in state.of_role(role)] if state else []


def _answers(snapshots: Sequence[Snapshot], name: str) -> list[_Answer]:
    """Return a program's metrics in all snapshots in which it answered."""
    return [
        _Answer(
            snapshot.at,
            next((program.process for program in snapshot.state.programs if program.name == name), None),
            scrape.values,
        )
        for snapshot in snapshots
        if snapshot.state and (scrape := snapshot.scrapes.get(name)) and not scrape.trouble
    ]


def _increases(answers: Sequence[_Answer]) -> Iterator[tuple[Series, float]]:
    """Yield each counter's increase from one answer to the next; after a restart it counts from zero."""
    for before, after in pairwise(answers):
        for series, value in after.values.items():
            earlier = before.values.get(series, 0.0) if before.process == after.process else 0.0
            yield series, value - earlier if value >= earlier else value
