"""Show what runs on a home and what it does: live in a terminal, else once; or as JSON."""

import json
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType

from cli.home import command_line
from cli.stack.supervisor import state
from cli.status.facts import status_facts
from cli.status.figures import status_figures
from cli.status.live import show_live
from cli.status.processes import families
from cli.status.role_states import continuing, suspended_pid
from cli.status.service import Service, read_service
from cli.status.snapshots import Snapshot, SnapshotReader, pids_of, read_two
from cli.status.tried_versions import tried_versions
from cli.status.view import seconds, status_page
from cli.terminal.lines import say

OLD: Final = 4.0
"""Seconds after which figures are said to be old: the last snapshot began so long ago, or it found Redis silent."""
PIPE_WIDTH: Final = 400
"""Width where the output is not a terminal, so that lines are not cut."""


def status(home: Path, *, as_json: bool, once: bool) -> None:
    """Show what runs and what it does: in a terminal live, else once; for programs, every role even where none runs."""
    found = state.running_stack(home)
    if as_json:
        service = (read_service(home) if found else None) or Service()
        tried = tried_versions(service.routes, service.processes)
        found_families = families(pids_of(found)) if found else {}
        say(json.dumps(status_facts(found, service, found_families, tried), indent=2))
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
    """Return the page for these snapshots, as it is now; without `height`, all of it."""
    now, passed = snapshots[-1], time.monotonic() - snapshots[-1].at
    return status_page(
        status_figures(snapshots),
        title=_title(now, home),
        notes=_notes(now, passed=passed),
        clock=now.clock + timedelta(seconds=passed),
        began=now.began,
        height=height,
        hint=hint,
    )


def _title(now: Snapshot, home: Path) -> str:
    if now.state is None:
        return f"Nothing runs on {home}. Start it: {command_line('up', home)}"
    return f"Darkroom  {now.state.url}{'  is stopping' if now.state.stopping else ''}"


def _notes(now: Snapshot, *, passed: float) -> list[str]:
    """Return what holds for the whole page; `passed` is the seconds since the newest snapshot was begun."""
    if now.state is None:
        return []
    notes = list(now.unwritable_disks)
    supervisor = now.state.supervisor.pid
    if (suspended := suspended_pid(now.families.get(supervisor, {}))) is not None:
        notes.append(
            f"The supervisor is stopped by a signal, so programs that end are not restarted; "
            f"continue it: {continuing(suspended)}"
        )
    if now.heard_at is None:
        notes.append("Redis does not answer: what the processes publish is unknown.")
    elif (age := now.at + passed - now.heard_at) > OLD:
        notes.append(f"Redis does not answer: figures are those of {seconds(age)} ago.")
    return notes
