"""`darkroom purge`, as typer reads it."""

import sys
from typing import Annotated

import typer

from cli.options import Home, check_owner_name


def purge(
    owner: Annotated[
        str, typer.Option(help="The owner whose data is deleted: the name of its keys.", callback=check_owner_name)
    ],
    home: Home = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete everything of one owner for good: unfinished predictions are canceled, rows, files and keys deleted."""
    from cli.home import find_home
    from cli.purge import run

    if not yes:
        typer.confirm(f"Delete every prediction, batch, file, delivery, kept picture and key of {owner}?", abort=True)
    sys.exit(run.purge(find_home(home), owner))
