"""Start and stop a stack with its progress shown in the terminal."""

import sys

from rich.console import Console

from cli.home import command_line
from cli.stack import lifecycle, ports
from cli.stack.lifecycle import Started
from cli.stack.plan import Options
from cli.stack.supervisor.state import StackState
from cli.terminal.interrupts import INTERRUPTED
from cli.terminal.lines import say
from cli.terminal.refused import Refused
from cli.up.start_display import StartDisplay
from shared import settings


def start(options: Options, console: Console, *, attached: bool) -> tuple[Started, StackState]:
    """Start a stack and show how it comes up; interrupted, it is stopped again, and so is one that fails attached.

    Raises Refused where the port is taken, and what `lifecycle` raises.
    """
    if not ports.is_free(options.port):
        other = command_line(f"up --port {options.port + 1}{'' if attached else ' --detach'}", options.home)
        raise Refused(f"Port {options.port} is in use by another program. Choose another: {other}")
    patience = settings.read(settings.Local).local_start_timeout
    started = lifecycle.start(options, attached=attached)
    try:
        with StartDisplay(console, options.home) as display:
            return started, lifecycle.wait_until_ready(started, patience=patience, watch=display.show)
    except KeyboardInterrupt:
        stop(started, console)
        sys.exit(INTERRUPTED)
    except lifecycle.NotReady as error:
        if attached:
            stop(started, console)
            raise
        if started.supervisor.poll() is not None:
            raise
        note = f"It keeps trying. Stop it: {command_line('down', options.home)}"
        raise lifecycle.NotReady(f"{error}\n\n{note}") from None


def stop(started: Started, console: Console) -> None:
    """Stop a stack that this process started, and show that."""
    with console.status("stopping") as spinner:
        started.stop(lambda state: spinner.update(lifecycle.stopping_line(state)))
    say("Stopped.")
