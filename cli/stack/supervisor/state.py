"""What runs on a home, as its supervisor wrote it: `<home>/state.json`."""

import json
import os
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from cli.stack.supervisor.identity import ProcessIdentity

ROLES: Final = ("api", "predict", "record", "webhooks", "beat", "flower", "redis", "postgres", "mlflow")
"""What `status` lists, always in this order."""


class Phase(StrEnum):
    """Where one program is."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    CRASHED = "crashed"
    STOPPED = "stopped"


@dataclass(slots=True)
class ProgramState:
    """One program: `name` is its own (`predict1`), `role` what it belongs to (`predict`)."""

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
    """Ends nobody asked for, since it was ready last."""

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
    """Everything on one home."""

    supervisor: ProcessIdentity
    url: str
    models: list[str]
    stores: dict[str, str]
    """The settings that lead to Redis, Postgres and the registry."""
    sockets: str
    stopping: bool = False
    networks: list[str] = field(default_factory=list)
    """What webhooks may call though it is not public."""
    keys_required: bool = False
    """Whether the API asks for keys."""
    programs: list[ProgramState] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        """Whether everything is."""
        return bool(self.programs) and all(program.phase is Phase.READY for program in self.programs)

    def of_role(self, role: str) -> list[ProgramState]:
        """Return a role's programs."""
        return [program for program in self.programs if program.role == role]

    def url_of(self, role: str) -> str | None:
        """Return where a role is reached; None where it has no address."""
        return next((program.url for program in self.of_role(role)), None)

    def metrics_of(self, role: str) -> list[str]:
        """Return where a role's programs serve their metrics."""
        return [program.metrics_url for program in self.of_role(role) if program.metrics_url is not None]

    def processes(self) -> list[ProcessIdentity]:
        """Return every process that was started."""
        return [program.process for program in self.programs if program.process is not None]


def write_state(home: Path, state: StackState) -> None:
    """Replace the file in one step: a reader sees the old one or the new one, whole."""
    draft = home / "state.json.new"
    # Addresses may hold passwords, so it is nobody else's to read.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123  a descriptor has no path
        json.dump(asdict(state), file, indent=1)
    draft.replace(home / "state.json")


def read_state(home: Path) -> StackState | None:
    """Return what was written last, by a supervisor alive or dead; None where there is nothing to read."""
    try:
        value = json.loads((home / "state.json").read_text())
        programs = [ProgramState.from_json(program) for program in value.pop("programs")]
        supervisor = ProcessIdentity(**value.pop("supervisor"))
        return StackState(**value, supervisor=supervisor, programs=programs)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # another release's: nothing in it can be relied on
        return None


def running_stack(home: Path) -> StackState | None:
    """Return the state of the stack that runs on this home; None where none does."""
    state = read_state(home)
    return state if state is not None and state.supervisor.is_alive else None


def remove_state(home: Path) -> None:
    """Remove the file: the stack has stopped. Safe to repeat."""
    (home / "state.json").unlink(missing_ok=True)
