"""`darkroom models`, as typer reads it."""

from typing import Annotated

import typer

from cli.options import Home

Name = Annotated[str, typer.Argument(help="The model's name, as `models list` shows it.", metavar="NAME")]

models = typer.Typer(help="List the models, take one out of service, bring it back.", no_args_is_help=True)


@models.command("list")
def list_models(home: Home = None) -> None:
    """List the models: champion, workers, images that wait, and why one does not serve."""
    from cli.home import find_home
    from cli.models import run

    run.list_models(find_home(home))


@models.command()
def retire(name: Name, home: Home = None) -> None:
    """Take a model out of service: new images are refused; waiting ones are still computed where it is loaded."""
    from cli.home import find_home
    from cli.models import run

    run.retire(find_home(home), name)


@models.command()
def restore(name: Name, home: Home = None) -> None:
    """Let a retired model be served again."""
    from cli.home import find_home
    from cli.models import run

    run.restore(find_home(home), name)
