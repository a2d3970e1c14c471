"""Whether the work of record, webhooks and upkeep is done, by the rows of `status`."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shared.queue.inspection.duties import Duty as RoleDuty
from shared.queue.inspection.duties import State

# From the roles' names to the rows of `status`: upkeep is shown at beat, which schedules it.
_ROWS: Mapping[str, str] = {"record": "record", "webhooks": "webhooks", "upkeep": "beat"}


class Duty(NamedTuple):
    """Whether a role's work is done: `ready`, `late` or `missing`, and what is wrong."""

    state: str
    detail: str


def late_duties(duties: Iterable[RoleDuty]) -> dict[str, Duty]:
    """Return the roles that are late or missing, by row of `status`."""
    return {_ROWS[one.role]: Duty(one.state, one.words) for one in duties if one.state is not State.READY}
