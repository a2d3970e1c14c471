"""What one process says about itself every few seconds, as it is kept in Redis."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

SEPARATOR: Final = "\x1f"
"""Between the values of a series' labels, which are in the order in which the metric declares them."""

Series = Mapping[str, Mapping[str, float]]
"""Values by metric, then by the values of its labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How much counters grew within the last `seconds`; those that did not are left out."""

    seconds: float
    series: Series


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFigures:
    """One process. None means unknown."""

    name: str
    roles: tuple[str, ...]
    host: str
    pid: int
    up_seconds: float
    cores: float | None = None
    """CPU cores that it kept busy within the last seconds."""
    memory_bytes: int | None = None
    values: Series = field(default_factory=dict)
    """Gauges, and those counters whose total counts."""
    grown: Mapping[int, Growth] = field(default_factory=dict)
    """By the window's length in seconds."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What no metric says: the queue as an upkeep worker reads it (`queue`), a GPU (`device`)."""

    def dumped(self) -> bytes:
        """Return the figures as JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()


def parse_figures(text: bytes | str) -> ProcessFigures:
    """Return the figures of `dumped`, of this release or another; raises ValueError where that is not what it is."""
    try:
        found = json.loads(text)
        grown = {int(window): Growth(**growth) for window, growth in found.get("grown", {}).items()}
        known = {name: found[name] for name in ProcessFigures.__slots__ if name in found}
        return ProcessFigures(**known | {"roles": tuple(found["roles"]), "grown": grown})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("these are no figures of a process") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The figures of a process, and for how long it has been silent since it published them."""

    figures: ProcessFigures
    silent_seconds: float


def increases(processes: Iterable[Published], name: str, window: int) -> Iterator[tuple[tuple[str, ...], float, float]]:
    """Yield the labels, the increase and the window's true seconds of a counter's series, process by process."""
    for one in processes:
        growth = one.figures.grown.get(window)
        if growth is not None and growth.seconds > 0:
            for labels, increase in growth.series.get(name, {}).items():
                yield tuple(labels.split(SEPARATOR)), increase, growth.seconds


def values(processes: Iterable[Published], name: str) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield the labels and the value of a metric's series, process by process."""
    for one in processes:
        for labels, value in one.figures.values.get(name, {}).items():
            yield tuple(labels.split(SEPARATOR)), value
