"""Stop the stack that runs on a home, and say so."""

from pathlib import Path

from rich.console import Console

from cli.stack import lifecycle
from cli.terminal.lines import say


def down(home: Path) -> None:
    """Stop the stack; no error where none runs."""
    with Console().status("stopping") as spinner:
        was_running = lifecycle.stop(home, lambda state: spinner.update(lifecycle.stopping_line(state)))
    say(f"Stopped {home}." if was_running else f"Nothing runs on {home}.")
