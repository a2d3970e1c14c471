"""`darkroom submit`, as typer reads it."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Home, Model, check_webhook


def submit(
    files: Annotated[list[Path], typer.Argument(help="Image files.", show_default=False)],
    home: Home = None,
    model: Model = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results.")] = False,
    webhook: Annotated[
        str | None,
        typer.Option(help="URL to call about each prediction.", metavar="URL", callback=check_webhook),
    ] = None,
) -> None:
    """Submit images and print a line for each: id and status; with --wait also the result."""
    from cli.home import find_home
    from cli.submit import run

    run.submit(find_home(home), files, model=model, wait=wait, webhook=webhook)
