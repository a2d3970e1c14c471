"""The home a command is about, and command lines to paste that mean the same one."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from cli.terminal.names import shown
from cli.terminal.refused import Refused
from shared import settings


def find_home(given: Path | None) -> Path:
    """Return the home a command is about, absolute; raises Refused for a path that leads nowhere."""
    home = given or settings.read(settings.Local).home
    try:
        found = home.expanduser().resolve()
    except RuntimeError as error:  # `~name` of no user, or links in a cycle
        raise Refused(f"{shown(home)} is not a folder: {error}") from None
    there = next(one for one in (found, *found.parents) if one.exists())
    if not there.is_dir():
        raise Refused(f"{shown(home)} can't be the home: {shown(there)} is not a folder.")
    return found


def command_line(words: str, home: Path) -> str:
    """Return a line to paste that runs `darkroom` on this home, by its path where it is not on PATH."""
    program = "darkroom"
    if shutil.which(program) is None:
        program = shlex.quote(os.path.relpath(Path(sys.executable).parent / program))
    return f"{program} {words}{home_option(home)}"


def home_option(home: Path) -> str:
    """Return the option a command line needs to mean this home; empty where it means it without."""
    return "" if home == find_home(None) else f" --home {shlex.quote(str(home))}"


def first_model_lines(home: Path) -> str:
    """Return the two lines to paste where no model is registered: register one, make it the champion."""
    add = command_line("models add NAME --torchvision resnet50 --weights FILE.pth --labels LABELS.txt", home)
    return f"  {add}\n  {command_line('models promote NAME latest', home)}"
