"""`darkroom keys`, as typer reads it."""

import re
from typing import Annotated, Final

import typer

from cli.options import Home, check_owner_name
from shared.domain.api_keys import FASTEST, MOST_UNFINISHED, SLOWEST, Role

_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(?:/s)?")

keys = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)


def parse_rate(text: str) -> float:
    """Return images a second of `20/s` or `20`; raises typer.BadParameter."""
    found = _RATE.fullmatch(text.strip())
    rate = float(found[1]) if found else 0.0
    if not SLOWEST <= rate <= FASTEST:
        raise typer.BadParameter(f"a rate is images a second, such as 20/s or 0.5/s, {FASTEST:,.0f}/s at most")
    return rate


@keys.command()
def create(
    name: Annotated[
        str,
        typer.Argument(
            help="The key's owner; keys of one name share predictions, batches and files.", callback=check_owner_name
        ),
    ],
    home: Home = None,
    role: Annotated[
        Role,
        typer.Option(
            help="read: see results. submit: also predict, cancel, upload. admin: also change what serves, keys and "
            "the webhooks' secret, and read metrics."
        ),
    ] = Role.SUBMIT,
    rate: Annotated[
        float | None, typer.Option(help="Images a second.", metavar="N/s", parser=parse_rate, show_default="no limit")
    ] = None,
    max_inflight: Annotated[
        int | None,
        typer.Option(
            help="Unfinished images at a time.", min=1, max=MOST_UNFINISHED, metavar="N", show_default="no limit"
        ),
    ] = None,
) -> None:
    """Create an API key and print it; it is not shown again."""
    from cli.home import find_home
    from cli.keys import run

    run.create(find_home(home), name, role=role, rate=rate, max_inflight=max_inflight)


@keys.command("list")
def list_keys(home: Home = None) -> None:
    """List the keys: how each begins, its owner, role and limits."""
    from cli.home import find_home
    from cli.keys import run

    run.list_keys(find_home(home))


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key, or how it begins as the list shows it.")], home: Home = None
) -> None:
    """Revoke a key: it stops within 5 s."""
    from cli.home import find_home
    from cli.keys import run

    run.revoke(find_home(home), key)
