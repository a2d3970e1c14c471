"""`darkroom status --json`: the state of every role, for programs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from cli.stack.supervisor.state import ROLES, Phase, ProgramState, StackState
from cli.status.processes import Family
from cli.status.role_states import SUSPENDED, role_state, suspended_pid
from cli.status.service import Service
from cli.status.tried_versions import TriedVersions

SUPERVISOR: Final = "supervisor"
"""The row of the process that starts the others and watches over them."""


def status_facts(
    state: StackState | None,
    service: Service,
    families: Mapping[int, Family],
    tried: Iterable[TriedVersions] = (),
) -> dict[str, dict[str, object]]:
    """Return `{role: {url, pids, state, metrics_urls}}` for every role; without a stack, roles that are stopped.

    The supervisor is among them. `predict` has the shadows and canaries in `tried`, by model.
    """
    if state is None:
        return {role: _facts(str(Phase.STOPPED)) for role in (*ROLES, SUPERVISOR)}
    facts = {
        role: _facts(
            role_state(state.of_role(role), service, families).word,
            pids=_pids(state.of_role(role)),
            url=state.url_of(role),
            metrics_urls=state.metrics_of(role),
        )
        for role in ROLES
    }
    facts["predict"]["tried"] = {
        one.model: {"shadow": asdict(one.shadow) if one.shadow else None, "canary": one.canary or None} for one in tried
    }
    is_suspended = suspended_pid(families.get(state.supervisor.pid, {})) is not None
    facts[SUPERVISOR] = _facts(SUSPENDED if is_suspended else str(Phase.READY), pids=[state.supervisor.pid])
    return facts


def _facts(
    word: str, *, pids: Sequence[int] = (), url: str | None = None, metrics_urls: Sequence[str] = ()
) -> dict[str, object]:
    return {"url": url, "pids": list(pids), "state": word, "metrics_urls": list(metrics_urls)}


def _pids(programs: Sequence[ProgramState]) -> list[int]:
    """Return the pids of those that run."""
    return [program.process.pid for program in programs if program.process is not None]
