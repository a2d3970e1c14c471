"""`darkroom status --json`: the state of every role, for programs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from cli.stack.supervisor.state import ROLES, Phase, ProgramState, StackState
from cli.status.duties import Duty
from cli.status.tried_versions import TriedVersions


def status_facts(
    state: StackState | None, duties: Mapping[str, Duty], tried: Iterable[TriedVersions] = ()
) -> dict[str, dict[str, object]]:
    """Return `{role: {url, pids, state, metrics_urls}}` for every role; without a stack, roles that are stopped.

    `duties` names roles whose processes are ready but whose work is `late` or `missing`. `predict` has the shadows and
    canaries in `tried`, by model.
    """
    if state is None:
        return {role: {"url": None, "pids": [], "state": str(Phase.STOPPED), "metrics_urls": []} for role in ROLES}
    facts: dict[str, dict[str, object]] = {
        role: {
            "url": state.url_of(role),
            "pids": _pids(state.of_role(role)),
            "state": next(
                (str(program.phase) for program in state.of_role(role) if program.phase is not Phase.READY),
                duties[role].state if role in duties else str(Phase.READY),
            ),
            "metrics_urls": state.metrics_of(role),
        }
        for role in ROLES
    }
    facts["predict"]["tried"] = {
        one.model: {"shadow": asdict(one.shadow) if one.shadow else None, "canary": one.canary or None} for one in tried
    }
    return facts


def _pids(programs: list[ProgramState]) -> list[int]:
    """Return the pids of those that run."""
    return [program.process.pid for program in programs if program.process is not None]
