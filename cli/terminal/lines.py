"""Lines and tables, printed for people and pipes alike."""

import sys
from collections.abc import Sequence

from shared.observability.printable import printable, printable_lines


def say(text: str) -> None:
    """Print a text without wrapping; what a terminal would obey in it, whoever wrote that, is written out."""
    sys.stdout.write(f"{printable_lines(text)}\n")
    sys.stdout.flush()


def say_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows, the header among them, a line each, in columns as wide as their widest cell."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; the name of its class where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
