"""`darkroom demo`, as typer reads it."""

from cli.options import Home


def demo(home: Home = None) -> None:
    """See it work: 200 scanned digits the model has never seen, sent through the whole stack."""
    from cli.demo import run
    from cli.home import find_home

    run.demo(find_home(home))
