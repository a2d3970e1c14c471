"""`darkroom feedback`, as typer reads it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Home


def feedback(
    labels: Annotated[
        Path,
        typer.Argument(
            help="A CSV with the columns id (or, with --batch, custom_id) and label, value or boxes. The results of "
            "`bulk --out` with a column label added are one.",
            metavar="LABELS.CSV",
            show_default=False,
        ),
    ],
    batch: Annotated[
        str | None, typer.Option(help="Only this batch's images; they may be named by custom_id.", metavar="ID")
    ] = None,
    home: Home = None,
) -> None:
    """Say what the right answers are, from a CSV.

    Exit 0 if every line was used, 1 if some were refused or not sent, 130 if it was interrupted. Repeat it then: it
    continues, and gives nothing twice.
    """
    from cli.feedback import run
    from cli.home import find_home

    sys.exit(run.feedback(find_home(home), labels, batch=batch))
