"""File names and other arguments, which may be any bytes: how they are printed, and how they are sent."""

import os

from shared.observability.printable import printable


def shown(text: object) -> str:
    """Return a name as it is printed: on one line, without control characters that a terminal would obey."""
    return printable(str(text))


def sent(text: str) -> str:
    """Return an argument as the text to send as UTF-8, whatever the locale decoded its bytes to."""
    try:
        return os.fsencode(text).decode("utf-8", "replace")
    except UnicodeEncodeError:  # characters of our own that the locale's encoding lacks
        return text.encode("utf-8", "replace").decode("utf-8")
