"""`darkroom bulk`, as typer reads it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Combine, Home, Model, Models, OnError, Then, Weights, check_webhook, pipeline_fields


def bulk(  # noqa: PLR0913, PLR0917  each is an option
    paths: Annotated[
        list[Path], typer.Argument(help="Folders, image files, or archives (zip, tar, tar.gz).", show_default=False)
    ],
    home: Home = None,
    model: Model = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the results: JSON lines where it ends in .ndjson, else CSV.")
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            help="URL to call when a batch is done. Each archive is one batch; a large folder is several, "
            "of up to 5,000 files or 256 MB.",
            metavar="URL",
            callback=check_webhook,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the last run: send what is not done yet.")] = False,
    models: Models = None,
    weights: Weights = None,
    combine: Combine = None,
    then: Then = None,
    on_error: OnError = None,
) -> None:
    """Predict a folder, many files or an archive; exit 0 if all succeeded, 1 if some did not."""
    from cli.bulk import run
    from cli.home import find_home

    pipeline = pipeline_fields(models, weights, combine, then, on_error)
    code = run.bulk(find_home(home), paths, model=model, webhook=webhook, pipeline=pipeline, out=out, resume=resume)
    sys.exit(code)
