"""The state of a stack, as its supervisor writes it to `<home>/state.json` and commands read it."""

import json
import os
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from cli.stack.supervisor.identity import ProcessIdentity

ROLES: Final = ("api", "predict", "record", "webhooks", "beat", "flower", "redis", "postgres", "mlflow")
"""The roles that `status` lists, in this order."""


class Phase(StrEnum):
    """How far one program is."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    FAILING = "failing"
    """It was ready, runs, and its probe says now that it is not: it hangs, or answers with an error."""
    CRASHED = "crashed"
    STOPPED = "stopped"


@dataclass(slots=True)
class ProgramState:
    """One program: `name` is unique (`predict1`), `role` may be several programs' (`predict`)."""

    name: str
    role: str
    url: str | None = None
    metrics_url: str | None = None
    login_file: str | None = None
    phase: Phase = Phase.WAITING
    detail: str = ""
    """Why it is not ready."""
    process: ProcessIdentity | None = None
    crashes: int = 0
    """Unexpected ends since it was ready last."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `asdict` wrote."""
        process = value.pop("process")
        return cls(
            **value | {"phase": Phase(value["phase"])},
            process=None if process is None else ProcessIdentity(**process),
        )


@dataclass(slots=True)
class StackState:
    """The state of one home's stack."""

    supervisor: ProcessIdentity
    url: str
    models: list[str]
    stores: dict[str, str]
    """Addresses of Redis, Postgres and the registry, by the names of their settings."""
    sockets: str
    stopping: bool = False
    networks: list[str] = field(default_factory=list)
    """Private networks that webhooks may call."""
    keys_required: bool = False
    """Whether the API asks for keys."""
    programs: list[ProgramState] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        """Whether every program is ready."""
        return bool(self.programs) and all(program.phase is Phase.READY for program in self.programs)

    def of_role(self, role: str) -> list[ProgramState]:
        """Return a role's programs."""
        return [program for program in self.programs if program.role == role]

    def url_of(self, role: str) -> str | None:
        """Return a role's address; None where it has none."""
        return next((program.url for program in self.of_role(role)), None)

    def metrics_of(self, role: str) -> list[str]:
        """Return the addresses of the metrics of a role's programs."""
        return [program.metrics_url for program in self.of_role(role) if program.metrics_url is not None]

    def processes(self) -> list[ProcessIdentity]:
        """Return every process that runs."""
        return [program.process for program in self.programs if program.process is not None]


def write_state(home: Path, state: StackState) -> None:
    """Replace the file atomically: a reader sees the old state or the new one, whole."""
    draft = home / "state.json.new"
    # Addresses may hold passwords, so only the owner may read it.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123  a descriptor has no path
        json.dump(asdict(state), file, indent=1)
    draft.replace(home / "state.json")


def read_state(home: Path) -> StackState | None:
    """Return the state written last, by a supervisor alive or dead; None where there is no readable one."""
    try:
        value = json.loads((home / "state.json").read_text(encoding="utf-8"))
        programs = [ProgramState.from_json(program) for program in value.pop("programs")]
        supervisor = ProcessIdentity(**value.pop("supervisor"))
        return StackState(**value, supervisor=supervisor, programs=programs)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # another release's format
        return None


def running_stack(home: Path) -> StackState | None:
    """Return the state of the stack that runs on this home; None where none runs."""
    state = read_state(home)
    return state if state is not None and state.supervisor.is_alive else None


def remove_state(home: Path) -> None:
    """Remove the file: the stack has stopped. Safe to repeat."""
    (home / "state.json").unlink(missing_ok=True)
