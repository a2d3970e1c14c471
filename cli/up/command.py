"""`darkroom up`, as typer reads it."""

from typing import Annotated

import typer

from cli.options import Home


def up(
    home: Home = None,
    port: Annotated[int, typer.Option(help="Port of the API, on this machine only.", min=1, max=65535)] = 8000,
    gateways: Annotated[
        int | None,
        typer.Option(
            help="API processes, all on that port; several on Linux only.",
            min=1,
            show_default="DARKROOM_LOCAL_GATEWAYS, else one per four cores, at most four",
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when everything is ready; the stack keeps running.")
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Model to serve; may be given again.", show_default="every registered one that has a champion"
        ),
    ] = None,
) -> None:
    """Start everything on this machine: Redis, Postgres, MLflow, the API, the workers and Flower."""
    from cli.home import find_home
    from cli.up import run

    run.up(find_home(home), port=port, gateways=gateways, detach=detach, models=tuple(model or ()))
