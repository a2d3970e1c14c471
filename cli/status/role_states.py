"""How a role is, for the page and for programs: by its programs, its processes, and the work that they publish."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from cli.stack.supervisor.state import Phase, ProgramState
from cli.status.processes import Family
from cli.status.service import Service
from shared.domain.status.computation import SILENT_SECONDS

SUSPENDED: Final = "suspended"
"""A process of the role is stopped by a signal, as kill -STOP and Ctrl-Z send it: it does nothing until continued."""
SILENT: Final = "silent"
"""A process of the role publishes no figures."""


class RoleState(NamedTuple):
    """One word, `ready` where all is well, and why it is not ready, with what to do where that is known."""

    word: str
    why: str


def role_state(programs: Sequence[ProgramState], service: Service, families: Mapping[int, Family]) -> RoleState:
    """Return the state of the role that has these programs: the first that holds of those below.

    A suspended process comes first: it is why a probe fails, why figures are missing and why work waits.
    """
    if suspended := _suspended(programs, families):
        return RoleState(SUSPENDED, suspended)
    if (worst := next((one for one in programs if one.phase is not Phase.READY), None)) is not None:
        return RoleState(str(worst.phase), worst.detail)
    if gone := _gone(programs, families):
        return RoleState(str(Phase.CRASHED), gone)
    if late := _late(programs, service):
        return late
    if silent := _silent(programs, service):
        return RoleState(SILENT, f"{silent} publishes no figures")
    return RoleState(str(Phase.READY), "")


def continuing(pid: int) -> str:
    """Return the command line that continues a suspended process."""
    return f"kill -CONT {pid}"


def suspended_pid(family: Family) -> int | None:
    """Return a suspended process among a process and its children; None where each of them runs."""
    return next((member.pid for member, usage in family.items() if usage.is_suspended), None)


def _suspended(programs: Iterable[ProgramState], families: Mapping[int, Family]) -> str:
    """Return which program has a suspended process, and what continues it; empty where none has."""
    for program in programs:
        pid = suspended_pid(families.get(program.process.pid, {})) if program.process else None
        if pid is not None:
            return f"{program.name} is stopped by a signal; continue it: {continuing(pid)}"
    return ""


def _gone(programs: Iterable[ProgramState], families: Mapping[int, Family]) -> str:
    """Return which program's process has ended unsaid: the supervisor can't write that where the disk refuses it."""
    ended = (one for one in programs if one.process and one.process.pid not in families)
    return next((f"process {one.process.pid} of {one.name} has ended" for one in ended if one.process), "")


def _late(programs: Sequence[ProgramState], service: Service) -> RoleState | None:
    """Return that the role's work is late or missing; for predict, that a model has no worker."""
    role = programs[0].role if programs else ""
    if role == "predict":
        models = service.figures.models if service.figures else ()
        alone = sorted(one.model for one in models if one.workers == 0)
        return RoleState("missing", f"no worker serves {', '.join(alone)}") if alone else None
    duty = service.duties.get(role)
    return RoleState(str(duty.state), duty.detail) if duty else None


def _silent(programs: Iterable[ProgramState], service: Service) -> str:
    """Return the first program that publishes no figures; empty where there is none, or Redis does not answer."""
    if service.figures is None:
        return ""
    heard = {one.figures.pid for one in service.processes if one.silent_seconds <= SILENT_SECONDS}
    missed = (one.name for one in programs if one.metrics_url and one.process and one.process.pid not in heard)
    return next(missed, "")
