"""The `darkroom` command, whose `up` starts a supervisor of forks: `python -m tests.support.forked_command up …`."""

from cli.main import app
from cli.stack import lifecycle


def main() -> None:
    """Run the command with this process's arguments."""
    lifecycle.SUPERVISOR = "tests.support.forking_supervisor"  # type: ignore[misc]
    app()


if __name__ == "__main__":
    main()
