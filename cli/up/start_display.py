"""Shows the progress of a stack that starts, a line a role."""

import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.stack.supervisor.programs import log_tail
from cli.stack.supervisor.state import Phase, ProgramState, StackState

_STEPS: Final = {"migrations": "database schema", "model": "demo model"}


class StartDisplay:
    """A line a role with the seconds it took: live in a terminal, else printed once as each becomes ready."""

    def __init__(self, console: Console, home: Path) -> None:
        self._console = console
        self._home = home
        self._began = time.monotonic()
        self._took: dict[str, float] = {}
        self._spinners: dict[str, Spinner] = {}
        self._live = Live(console=console, refresh_per_second=10, transient=False)

    def __enter__(self) -> Self:
        """Start drawing."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing; the last state stays on the screen."""
        self._live.stop()

    def show(self, state: StackState) -> None:
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
        """Return the role's own spinner, so that each keeps turning between drawings."""
        return self._spinners.setdefault(role, Spinner("dots"))

    def _detail(self, role: str, programs: list[ProgramState]) -> str:
        """Return why a role is not ready: a crash first, else the last log line of a step, else its phase."""
        crashed = next((p.detail for p in programs if p.phase is Phase.CRASHED), "")
        if crashed or role not in _STEPS or programs[0].phase is Phase.WAITING:
            return crashed or str(programs[0].phase)
        return next(iter(log_tail(self._home, role, lines=1)), "")
