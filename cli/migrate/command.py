"""`darkroom migrate`, as typer reads it."""

from cli.options import Home


def migrate(home: Home = None) -> None:
    """Bring the database to the newest schema."""
    from cli.home import find_home
    from cli.migrate import run

    run.migrate(find_home(home))
