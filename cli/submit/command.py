"""`darkroom submit`, as typer reads it."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Combine, Home, Model, Models, OnError, Then, Weights, check_webhook, pipeline_fields


def submit(  # noqa: PLR0913, PLR0917  each is an option
    files: Annotated[list[Path], typer.Argument(help="Image files.", show_default=False)],
    home: Home = None,
    model: Model = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results.")] = False,
    webhook: Annotated[
        str | None,
        typer.Option(help="URL to call about each prediction.", metavar="URL", callback=check_webhook),
    ] = None,
    models: Models = None,
    weights: Weights = None,
    combine: Combine = None,
    then: Then = None,
    on_error: OnError = None,
) -> None:
    """Submit images and print a line for each: id and status; with --wait also the result."""
    from cli.home import find_home
    from cli.submit import run

    pipeline = pipeline_fields(models, weights, combine, then, on_error)
    run.submit(find_home(home), files, model=model, wait=wait, webhook=webhook, pipeline=pipeline)
