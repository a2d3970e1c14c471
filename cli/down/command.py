"""`darkroom down`, as typer reads it."""

from cli.options import Home


def down(home: Home = None) -> None:
    """Stop the stack that `up` started; images being computed finish first."""
    from cli.down import run
    from cli.home import find_home

    run.down(find_home(home))
