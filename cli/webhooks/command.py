"""`darkroom webhooks`, as typer reads it."""

from typing import Annotated

import typer

from cli.options import Home

webhooks = typer.Typer(help="Try webhooks out.", no_args_is_help=True)


@webhooks.command()
def listen(
    port: Annotated[int, typer.Argument(help="Port to listen on, on this machine only.", min=1, max=65535)],
    home: Home = None,
    secret: Annotated[
        str | None,
        typer.Option(
            help="The secret that webhooks are signed with.", metavar="whsec_…", show_default="asks the gateway"
        ),
    ] = None,
) -> None:
    """Receive webhooks and print a line each: what it reports, whether its signature is right. Ctrl-C ends it."""
    from cli.home import find_home
    from cli.webhooks import listen

    listen.listen(find_home(home), port, secret=secret)
