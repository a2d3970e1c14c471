"""File names and other arguments, which may be any bytes: how they are printed, and how they are sent."""

import os
from typing import Final

_FIRST_BYTE: Final = 0xDC00
_BYTES: Final = range(0xDC80, 0xDD00)
"""Python keeps an undecodable byte as 0xDC00 plus the byte (PEP 383)."""


def shown(text: object) -> str:
    """Return a name as it is printed: on one line, without control characters that a terminal would obey.

    Printable characters stay; others (line ends, escapes, changes of direction) are escaped by `written_out`.
    """
    name = str(text)
    if name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else written_out(letter) for letter in name)


def sent(text: str) -> str:
    """Return an argument as the text to send as UTF-8, whatever the locale decoded its bytes to."""
    try:
        return os.fsencode(text).decode("utf-8", "replace")
    except UnicodeEncodeError:  # characters of our own that the locale's encoding lacks
        return text.encode("utf-8", "replace").decode("utf-8")


def written_out(letter: str) -> str:
    r"""Return a character escaped in ASCII: `\xe9`, `\u65e5`."""
    code = ord(letter)
    return f"\\x{code - _FIRST_BYTE:02x}" if code in _BYTES else letter.encode("unicode_escape").decode("ascii")
