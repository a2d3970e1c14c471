"""`reference/cli.md`, from the commands as typer has them."""

from collections.abc import Iterator
from typing import Any, Final

import typer.main

from cli.commands import commands
from docs.generate.markdown import joined, opening, table

INTRODUCTION: Final = """
`make install` puts the command into `.venv/bin/darkroom`; every command has `--help`. It acts on the stack whose home
is `--home`, or `DARKROOM_HOME`, or `.darkroom` in the current folder.
"""


def page() -> str:
    """Return the page."""
    blocks = opening("Commands", "`cli/commands.py`", INTRODUCTION)
    for name, command in _commands("darkroom", typer.main.get_command(commands)):
        blocks += [f"## {name}", *_describe(name, command)]
    return joined(blocks)


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Go through all commands, those of groups as well."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, one in inner.items():
        yield from _commands(f"{name} {word}", one)


def _describe(name: str, command: Any) -> list[str]:
    context = command.context_class(command, info_name=name)
    usage = command.get_usage(context).removeprefix("Usage: ")
    shown = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [(f"`{words}`", meaning) for words, meaning in filter(None, shown) if words != "--help"]
    return [command.help or "", f"```text\n{usage}\n```", table(("", "meaning"), rows)]
