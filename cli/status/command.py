"""`darkroom status`, as typer reads it."""

from typing import Annotated

import typer

from cli.options import Home


def status(
    home: Home = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: {role: {url, pids, state, …}}.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Print once and exit; the default where the output is not a terminal.")
    ] = False,
) -> None:
    """Show what runs and what it does, live: processes, lanes, rates, the last errors; q ends it."""
    from cli.home import find_home
    from cli.status import run

    run.status(find_home(home), as_json=as_json, once=once)
