"""What is wrong with a line that runs `darkroom`, compared with the commands that there are. Nothing is run."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer.main

from cli.commands import commands

_VARIABLE = re.compile(r"[A-Z_]+=\S*")


def command_lines(script: str) -> Iterator[list[str]]:
    """Yield the words of each line of a shell script that runs `darkroom`, without what is before them."""
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and _VARIABLE.fullmatch(words[0]):
            words = words[1:]
        if words and words[0].rpartition("/")[2] == "darkroom":
            yield words


def command_fault(words: list[str]) -> str | None:
    """Return what is wrong with a command line, such as an option that does not exist; None where nothing is."""
    command: Any = typer.main.get_command(commands)
    rest = words[1:]
    while inner := getattr(command, "commands", None):
        if not rest or rest[0] not in inner:
            return f"{' '.join(words)}: no such command"
        command, rest = inner[rest[0]], rest[1:]
    context = command.context_class(command, info_name="darkroom")
    options = {
        name for parameter in command.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)
    }
    unknown = {word.partition("=")[0] for word in rest if word.startswith("-")} - options
    return f"{' '.join(words)}: no option {', '.join(sorted(unknown))}" if unknown else None
