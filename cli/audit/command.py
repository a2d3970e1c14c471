"""`darkroom audit`, as typer reads it."""

import sys

from cli.options import Home


def audit(home: Home = None) -> None:
    """Check on the live system that no job is lost, doubled or stuck; exit 1 and say what is broken."""
    from cli.audit import run
    from cli.home import find_home

    sys.exit(run.audit(find_home(home)))
