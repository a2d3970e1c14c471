"""Command-line options that several commands take, and the checks of what is given."""

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path | None,
    typer.Option(help="Folder that the stack keeps everything in.", envvar="DARKROOM_HOME", show_default=".darkroom"),
]

Model = Annotated[
    str | None, typer.Option(help="name, name@alias or name:version; may be left out where one model serves.")
]


def check_webhook(url: str | None) -> str | None:
    """Return a webhook's URL as it was given; raises typer.BadParameter where it can't be called."""
    from shared.domain.webhooks import check_webhook_url  # noqa: PLC0415  `--help` answers without it

    try:
        if url is not None:
            check_webhook_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return url


def check_owner_name(name: str) -> str:
    """Return an owner's name as it was given; raises typer.BadParameter where it is none."""
    from shared.domain.api_keys import as_owner  # noqa: PLC0415  `--help` answers without it

    try:
        return as_owner(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


# Lists: of an option for one text that is given again, the last counts and the others are dropped without a word.
Models = Annotated[
    list[str] | None,
    typer.Option("--models", help="Ensemble: models with commas between them, in place of --model.", metavar="A,B"),
]
Weights = Annotated[
    list[str] | None, typer.Option("--weights", help="Weights of --models, with commas between them.", metavar="X,Y")
]
Combine = Annotated[str | None, typer.Option("--combine", help="How --models are combined: mean or majority.")]
Then = Annotated[
    str | None,
    typer.Option("--then", help='Second step, as JSON: {"model": "b", "when": {"class": ["dog"]}}.', metavar="JSON"),
]
OnError = Annotated[str | None, typer.Option("--on-error", help="Where one model has no output: fail or degrade.")]


def pipeline_fields(
    models: list[str] | None, weights: list[str] | None, combine: str | None, then: str | None, on_error: str | None
) -> dict[str, str | None]:
    """Return the fields of a form that ask for a pipeline; lists have commas, given at once or one by one."""
    lists = {name: ",".join(given) if given else None for name, given in (("models", models), ("weights", weights))}
    return {**lists, "combine": combine, "then": then, "on_error": on_error}
