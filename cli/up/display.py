"""What people see while a stack starts and stops, and when it runs."""

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.stack.plan import THIS_MACHINE, held_out_folder
from cli.stack.servers.mlflow_login import Login, login_file
from cli.stack.supervisor.programs import log_tail
from cli.stack.supervisor.state import ROLES, Phase, ProgramState, StackState
from cli.status.duties import Duty

_STEPS: Final = {"migrations": "database schema", "model": "demo model"}


class StartDisplay:
    """A line a role with the seconds it took: live in a terminal, else one line as each becomes ready."""

    def __init__(self, console: Console, home: Path) -> None:
        self._console = console
        self._home = home
        self._began = time.monotonic()
        self._took: dict[str, float] = {}
        self._spinners: dict[str, Spinner] = {}
        self._live = Live(console=console, refresh_per_second=10, transient=False)

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave what was drawn last."""
        self._live.stop()

    def watch(self, state: StackState) -> None:
        """Show a state."""
        roles = dict.fromkeys(program.role for program in state.programs)
        for role in roles:
            if role not in self._took and all(p.phase is Phase.READY for p in state.of_role(role)):
                self._took[role] = time.monotonic() - self._began
                if not self._console.is_terminal:
                    self._console.print(f"{_STEPS.get(role, role)} ready after {self._took[role]:.1f} s")
        if self._console.is_terminal:
            self._live.update(self._table(state, list(roles)))

    def _table(self, state: StackState, roles: list[str]) -> Table:
        table = Table.grid(padding=(0, 2))
        for role in roles:
            name = _STEPS.get(role, role)
            if role in self._took:
                table.add_row(Text("✓", style="green"), name, f"{self._took[role]:.1f} s", "")
                continue
            programs = state.of_role(role)
            seconds = Text(f"{time.monotonic() - self._began:.1f} s", style="dim")
            table.add_row(
                self._spinner(role), name, seconds, Text(self._detail(role, programs), style="dim", overflow="ellipsis")
            )
        return table

    def _spinner(self, role: str) -> Spinner:
        """Return the role's own, so that it turns on from where it was."""
        return self._spinners.setdefault(role, Spinner("dots"))

    def _detail(self, role: str, programs: list[ProgramState]) -> str:
        """Say what is going on: a crash above all, else the step's own progress."""
        crashed = next((p.detail for p in programs if p.phase is Phase.CRASHED), "")
        if crashed or role not in _STEPS or programs[0].phase is Phase.WAITING:
            return crashed or str(programs[0].phase)
        return next(iter(log_tail(self._home, role, lines=1)), "")


def guide(state: StackState, home: Path) -> str:
    """Return where each page is, and a line to paste that predicts an image."""
    pages = [
        ("API", state.url),
        ("API pages", f"{state.url}/docs"),
        ("MLflow", state.url_of("mlflow") or ""),
        *_login(home, state),
        ("Flower", state.url_of("flower") or ""),
        ("Postgres", state.url_of("postgres") or ""),
        ("Redis", state.url_of("redis") or ""),
        ("logs", str(home / "logs")),
    ]
    lines = ["Darkroom runs.", "", *(f"  {name:<10} {where}" for name, where in pages), "", _keys(state.keys_required)]
    lines.append(_webhooks(state.networks))
    image = next(iter(sorted(held_out_folder(home).glob("*.png"))), None)
    if image is not None and state.models:
        command = curl(state.url, model=state.models[0], image=image, with_key=state.keys_required)
        lines += ["", "Try it:", f"  {command}"]
    return "\n".join(lines)


def _login(home: Path, state: StackState) -> list[tuple[str, str]]:
    """Return what a browser is asked for by the embedded MLflow, and how programs get it; nothing of another one."""
    if not any(program.login_file for program in state.of_role("mlflow")):
        return []
    login = Login.read(home)
    return (
        [("", f"user {login.username}, password {login.password}; for programs: {login_file(home)}")] if login else []
    )


def _keys(required: bool) -> str:  # noqa: FBT001  one of two sentences
    """Say who may call."""
    if required:
        return "The API asks for a key. Make one: darkroom keys create NAME; then export DARKROOM_API_KEY=dk_…"
    return "The API asks for no key: it is for this machine alone. DARKROOM_AUTH_REQUIRED=true makes it ask."


def _webhooks(networks: Sequence[str]) -> str:
    """Say which addresses webhooks may call."""
    if not networks:
        return "Webhooks may call public addresses only."
    named = ", ".join(f"this machine ({name})" if name == THIS_MACHINE else name for name in networks)
    return f"Webhooks may call {named}; elsewhere only public addresses are called."


def curl(url: str, *, model: str, image: Path, with_key: bool = False) -> str:
    """Return a command that predicts `image` in any shell, with the key that the shell has where one is needed."""
    key = '-H "Authorization: Bearer $DARKROOM_API_KEY" ' if with_key else ""
    fields = " ".join(f"-F {shlex.quote(field)}" for field in (f"model={model}", f"image=@{image}"))
    return f"curl -s {key}-H 'Prefer: wait' {fields} {url}/v1/predictions"


def status_facts(state: StackState | None, duties: Mapping[str, Duty]) -> dict[str, dict[str, object]]:
    """Return `{role: {url, pids, state, metrics_urls}}` for every role; without a stack, roles that are stopped.

    `duties` says of roles whose processes are ready that their work is `late`, or that nobody does it: `missing`.
    """
    if state is None:
        return {role: {"url": None, "pids": [], "state": str(Phase.STOPPED), "metrics_urls": []} for role in ROLES}
    return {
        role: {
            "url": state.url_of(role),
            "pids": pids(state.of_role(role)),
            "state": next(
                (str(program.phase) for program in state.of_role(role) if program.phase is not Phase.READY),
                duties[role].state if role in duties else str(Phase.READY),
            ),
            "metrics_urls": state.metrics_of(role),
        }
        for role in ROLES
    }


def pids(programs: list[ProgramState]) -> list[int]:
    """Return the pids of those that run."""
    return [program.process.pid for program in programs if program.process is not None]
