"""Show what runs on a home and what it does: live in a terminal, else once; or as JSON."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType

from cli.home import command_line
from cli.stack.supervisor import state
from cli.status.facts import status_facts
from cli.status.figures import status_figures
from cli.status.live import show_live
from cli.status.service import Service, read_service
from cli.status.snapshots import Snapshot, SnapshotReader, read_two
from cli.status.tried_versions import tried_versions
from cli.status.view import status_page
from cli.terminal.lines import say

PIPE_WIDTH: Final = 400
"""Width where the output is not a terminal, so that lines are not cut."""


def status(home: Path, *, as_json: bool, once: bool) -> None:
    """Show what runs and what it does: in a terminal live, else once; for programs, every role even where none runs."""
    found = state.running_stack(home)
    if as_json:
        service = read_service(home) if found else Service()
        tried = tried_versions(service.routes, service.processes)
        say(json.dumps(status_facts(found, service.duties, tried), indent=2))
    elif found is None:
        say(f"Nothing runs on {home}. Start it: {command_line('up', home)}")
    else:
        show(home, once=once)


def show(home: Path, *, once: bool) -> None:
    """Show the stack on a home: live, or with `once` or without a terminal, printed once from two snapshots."""
    reader = SnapshotReader(home)
    is_terminal = sys.stdout.isatty()
    console = Console() if is_terminal else Console(width=PIPE_WIDTH, color_system=None)
    if is_terminal and sys.stdin.isatty() and not once:
        show_live(reader.read, lambda snapshots: draw(snapshots, home, height=console.height, hint="q ends"), console)
    else:
        with console.capture() as drawn:
            console.print(draw(read_two(reader), home))
        say("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def draw(snapshots: Sequence[Snapshot], home: Path, *, height: int | None = None, hint: str = "") -> RenderableType:
    """Return the page for these snapshots; without `height`, all of it."""
    now = snapshots[-1]
    title = f"Nothing runs on {home}. Start it: {command_line('up', home)}"
    if now.state is not None:
        title = f"Darkroom  {now.state.url}{'  is stopping' if now.state.stopping else ''}"
    return status_page(
        status_figures(snapshots), title=title, clock=now.clock, began=now.began, height=height, hint=hint
    )
