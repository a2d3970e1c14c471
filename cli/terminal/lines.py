"""Lines and tables, printed for people and pipes alike."""

import sys
from collections.abc import Sequence


def say(text: str) -> None:
    """Print a text as it is, without wrapping."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows, the header among them, in columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; the name of its class where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
