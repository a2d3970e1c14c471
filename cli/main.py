"""The `darkroom` command: `python -m cli.main`. The commands are in `cli/commands.py`."""

import sys


def app() -> None:
    """Run the command that the command line names; Ctrl-C while its modules are imported exits 130 and prints nothing.

    So nothing is imported outside: there it would print a traceback.
    """
    try:
        from cli.commands import commands  # noqa: PLC0415
        from cli.terminal.plain_output import prepared  # noqa: PLC0415

        with prepared():
            commands()
    except KeyboardInterrupt:
        from cli.terminal.interrupts import INTERRUPTED  # noqa: PLC0415

        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    app()
