"""`darkroom down`, as typer reads it."""

from cli.options import Home


def down(home: Home = None) -> None:
    """Stop what `up` started; what is being computed finishes first."""
    from cli.down import run
    from cli.home import find_home

    run.down(find_home(home))
