"""`darkroom export`, as typer reads it."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Home, check_owner_name


def _parsed_age(text: str) -> timedelta:
    from shared.domain.ages import parse_age

    try:
        return parse_age(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def export(
    model: Annotated[str, typer.Argument(help="The model whose kept pictures are exported.", metavar="MODEL")],
    out: Annotated[Path, typer.Option(help="Folder to write to: a new one, or that of an earlier export.")],
    since: Annotated[
        timedelta,
        typer.Option(parser=_parsed_age, metavar="AGE", help="Predictions of this age at most: 24h, 7d, 2w."),
    ] = "7d",  # type: ignore[assignment]  # typer parses it
    labelled: Annotated[bool, typer.Option("--labelled", help="Only pictures that somebody has labelled.")] = False,
    disagreed: Annotated[
        bool, typer.Option("--disagreed", help="Only pictures on which champion and shadow disagreed.")
    ] = False,
    owner: Annotated[
        str, typer.Option(help="Whose pictures: the name of its keys.", callback=check_owner_name)
    ] = "default",
    mlflow_run: Annotated[
        str | None, typer.Option(help="MLflow run to log the set to.", show_default="a run of its own", metavar="ID")
    ] = None,
    home: Home = None,
) -> None:
    """Write the kept pictures of a model into a folder by label, with labels.csv and a manifest; safe to repeat."""
    from cli.export import run
    from cli.home import find_home
    from shared.domain.api_keys import as_owner

    code = run.export(
        find_home(home),
        model,
        owner=as_owner(owner),
        since=since,
        labelled=labelled,
        disagreed=disagreed,
        out=out,
        mlflow_run=mlflow_run,
    )
    sys.exit(code)
