"""`up`, `down` and `status`: one machine's stack, started, stopped and shown."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from cli.find_stack import command, say
from cli.stack import lifecycle
from cli.stack.lifecycle import Started
from cli.stack.plan import DEMO_MODEL, Options
from cli.stack.supervisor import state
from cli.stack.supervisor.state import StackState
from cli.status import duties
from cli.up import display
from shared import settings

EXIT_INTERRUPTED: Final = 130


def up(home: Path, *, port: int, detach: bool, models: tuple[str, ...]) -> None:
    """Start the stack, unless it runs; attached, stay until it stops."""
    console = Console()
    found = state.running(home)
    if found is not None and not found.stopping:
        say(f"Already running.\n\n{display.guide(found, home)}")
        return
    if found is not None:
        lifecycle.stop(home, lambda _: None)
    options = Options(home=home, port=port, models=models or (DEMO_MODEL,))
    with terminated_as_interrupted():
        started, ready = start(options, console, attached=not detach)
        say(display.guide(ready, home))
        say(f"\nStop it: {command('down', home) if detach else 'Ctrl-C'}")
        if detach:
            return
        try:
            started.wait()
        except KeyboardInterrupt:
            stop(started, console)


def down(home: Path) -> None:
    """Stop the stack; well also where none runs."""
    with Console().status("stopping") as spinner:
        was_running = lifecycle.stop(home, lambda now: spinner.update(_stopping(now)))
    say(f"Stopped {home}." if was_running else f"Nothing runs on {home}.")


def status(home: Path, *, as_json: bool, once: bool) -> None:
    """Show what runs and what it does: in a terminal live, else once; for programs, every role even where none runs."""
    found = state.running(home)
    if as_json:
        wrong = duties.ask(found) if found else {}
        say(json.dumps(display.status_facts(found, wrong), indent=2))
    elif found is None:
        say(f"Nothing runs on {home}. Start it: {command('up', home)}")
    else:
        from cli.status import run  # noqa: PLC0415  40 ms that no other command needs to wait

        run.show(home, once=once)


def start(options: Options, console: Console, *, attached: bool) -> tuple[Started, StackState]:
    """Start a stack and show how it comes up; interrupted, it is stopped again, and so is one that fails attached."""
    patience = settings.read(settings.Local).local_start_timeout
    started = lifecycle.start(options, attached=attached)
    try:
        with display.StartDisplay(console, options.home) as screen:
            return started, lifecycle.wait_until_ready(started, patience=patience, watch=screen.watch)
    except KeyboardInterrupt:
        stop(started, console)
        sys.exit(EXIT_INTERRUPTED)
    except lifecycle.NotReady as error:
        if attached:
            stop(started, console)
            raise
        if started.supervisor.poll() is not None:
            raise
        note = f"It keeps trying. Stop it: {command('down', options.home)}"
        raise lifecycle.NotReady(f"{error}\n\n{note}") from None


def stop(started: Started, console: Console) -> None:
    """Stop a stack of ours and show that."""
    with console.status("stopping") as spinner:
        started.stop(lambda now: spinner.update(_stopping(now)))
    say("Stopped.")


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C: both stop what we started."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signal module's form
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stopping(now: StackState) -> str:
    """Say who is still there."""
    return f"stopping {', '.join(program.name for program in now.programs if program.process is not None)}"
