"""Where the processes publish their figures in Redis, and where samples of the status are kept: as script calls.

Each is a script with its keys and arguments, so that the gateway's pipeline and a worker's client use the same.
Everything is bounded: a process' figures expire after TTL, samples are a capped stream.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from shared.domain.status.alert_conditions import Holding, holding, since_when
from shared.domain.status.computation import Duty as RoleDuty
from shared.domain.status.computation import figures_of
from shared.domain.status.process_figures import ProcessFigures, Published, parse_figures
from shared.domain.status.samples import COLUMNS, MOST, SLOT, sample_of
from shared.domain.status.service_status import Figures
from shared.observability.metrics import QueueState
from shared.queue import keys
from shared.queue.inspection.duties import Duty
from shared.queue.lua import Script

PAUSE: Final = timedelta(seconds=2)
"""Between two publications of a process."""
TTL: Final = timedelta(seconds=15)
"""A process that has not published for so long is gone."""
ALERTS_TTL: Final = timedelta(minutes=1)
"""Since when alerts hold is forgotten where no sample was kept for so long."""
_SECOND: Final = timedelta(seconds=1)


class Call(NamedTuple):
    """A script with its keys and arguments."""

    script: Script
    keys: tuple[str, ...]
    arguments: tuple[bytes | str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What was published, as it was read at `now_us` by Redis' clock."""

    now_us: int
    processes: Sequence[Published]
    alerts_since: Mapping[str, int]
    """Since when alerts have held, in microseconds."""

    def figures(self, duties: Sequence[Duty]) -> Figures:
        """Return what the figures come to."""
        told = {duty.role: RoleDuty(state=duty.state, detail=duty.words) for duty in duties}
        return figures_of(self.processes, told, now_seconds=self.now_us / 1e6)

    def holding(self, figures: Figures, duties: Sequence[Duty]) -> list[Holding]:
        """Return the alerts whose condition holds."""
        silence = {duty.role: _seconds(duty.silence) for duty in duties}
        return holding(figures, self.processes, silence=silence, now_seconds=self.now_us / 1e6)


def publish_call(figures: ProcessFigures, *, samples: bool) -> Call:
    """Return the call that publishes a process' figures; its reply is the slot to keep a sample of, or 0."""
    arguments = (figures.name, figures.dumped(), _milliseconds(TTL), _milliseconds(SLOT) if samples else 0)
    return Call(Script.PUBLISH_FIGURES, (keys.figures(figures.name), keys.FIGURES, keys.STATUS_SLOT), arguments)


def read_call() -> Call:
    """Return the call that reads what was published."""
    return Call(Script.READ_FIGURES, (keys.FIGURES, keys.STATUS_ALERTS), (keys.figures_prefix(),))


def parse_board(reply: Any) -> Board:
    """Return the board of `read_call`'s reply; figures of another release that can't be read are left out."""
    now, alerts, found = reply
    return Board(now_us=int(now), processes=list(_published(found)), alerts_since=json.loads(alerts) if alerts else {})


def _published(found: Sequence[Any]) -> Sequence[Published]:
    read = []
    for silent, text in zip(found[::2], found[1::2], strict=True):
        try:
            read.append(Published(figures=parse_figures(text), silent_seconds=silent / 1000))
        except ValueError:
            continue
    return read


def sample_call(slot_ms: int, board: Board, duties: Sequence[Duty]) -> Call:
    """Return the call that keeps a sample of the board, and since when the alerts hold that hold now."""
    figures = board.figures(duties)
    alerts = since_when(board.holding(figures, duties), board.alerts_since, now_us=board.now_us)
    values = dict(zip(COLUMNS, sample_of(figures), strict=True))
    known = {column: value for column, value in values.items() if value is not None}
    arguments = (
        f"{slot_ms}-0",
        json.dumps(known, separators=(",", ":")),
        json.dumps(alerts, separators=(",", ":")),
        _milliseconds(ALERTS_TTL),
        MOST,
    )
    return Call(Script.KEEP_SAMPLE, (keys.STATUS_SAMPLES, keys.STATUS_ALERTS), arguments)


def samples_command(since_ms: int) -> tuple[str | int, ...]:
    """Return the command that reads the samples from an instant on, the oldest first."""
    return "XRANGE", keys.STATUS_SAMPLES, f"{max(0, since_ms)}-0", "+", "COUNT", MOST


def parse_samples(reply: Any) -> list[tuple[int, dict[str, Any]]]:
    """Return each sample's slot in milliseconds and its values by column."""
    return [(int(id.partition(b"-")[0]), json.loads(fields[1])) for id, fields in reply]


def queue_facts(state: QueueState) -> dict[str, Any]:
    """Return the queue's state as an upkeep worker publishes it."""
    return {
        "lanes": [
            {
                "model": lane.model,
                "lane": lane.lane,
                "entries": lane.entries,
                "bytes": lane.bytes,
                "oldest_seconds": lane.oldest / _SECOND,
            }
            for lane in state.lanes
        ],
        "shadow_entries": state.shadow_entries,
        "workers": state.workers,
        "finished": state.finished,
        "recorder_lag_seconds": state.recorder_lag / _SECOND,
        "memory_used_bytes": state.memory_used_bytes,
        "memory_limit_bytes": state.memory_limit_bytes,
        "bells": state.bells,
    }


def _seconds(time: timedelta | None) -> float:
    return float("inf") if time is None else time / _SECOND


def _milliseconds(time: timedelta) -> int:
    return time // timedelta(milliseconds=1)
