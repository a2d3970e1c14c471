"""Start the stack of a home and say where everything is."""

from pathlib import Path

from rich.console import Console

from cli.home import command_line
from cli.stack import lifecycle
from cli.stack.plan import Options, usual_gateways
from cli.stack.preflight import misspelled_settings
from cli.stack.supervisor import state
from cli.terminal.interrupts import terminated_as_interrupted
from cli.terminal.lines import say
from cli.up import attended
from cli.up.guide import guide
from cli.up.model_notes import model_notes


def up(home: Path, *, port: int, gateways: int | None, detach: bool, models: tuple[str, ...]) -> None:
    """Start the stack, unless it runs; attached, return only when it has stopped."""
    console = Console()
    found = state.running_stack(home)
    if found is not None and not found.stopping:
        say("\n\n".join(["Already running.", guide(found, home), *model_notes(found, home)]))
        return
    if found is not None:
        lifecycle.stop(home, lambda _: None)
    for line in misspelled_settings():
        say(line)
    options = Options(home=home, port=port, models=models, gateways=gateways or usual_gateways())
    with terminated_as_interrupted():
        started, ready = attended.start(options, console, attached=not detach)
        say(guide(ready, home))
        for note in model_notes(ready, home):
            say(f"\n{note}")
        say(f"\nStop it: {command_line('down', home) if detach else 'Ctrl-C'}")
        if detach:
            return
        try:
            started.wait()
        except KeyboardInterrupt:
            attended.stop(started, console)
