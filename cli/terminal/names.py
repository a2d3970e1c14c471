"""Names of files and other words that people give: any bytes. How they are printed, and how they travel."""

import os
from typing import Final

_FIRST_BYTE: Final = 0xDC00
_BYTES: Final = range(0xDC80, 0xDD00)
"""Python keeps a byte that is no text as 0xDC00 and the byte (PEP 383)."""


def shown(text: object) -> str:
    """Return a name as it is printed: in one line, with nothing in it that a terminal would take for a command.

    Letters stay as they are; what is none (a line's end, an escape, a change of direction) is written out.
    """
    name = str(text)
    if name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else written_out(letter) for letter in name)


def sent(text: str) -> str:
    """Return what was given to the command as the UTF-8 that is sent, whatever the locale made of its bytes."""
    try:
        return os.fsencode(text).decode("utf-8", "replace")
    except UnicodeEncodeError:  # letters of our own, which the locale does not have
        return text.encode("utf-8", "replace").decode("utf-8")


def written_out(letter: str) -> str:
    r"""Return a letter in letters that every terminal has: `\xe9`, `\u65e5`."""
    code = ord(letter)
    return f"\\x{code - _FIRST_BYTE:02x}" if code in _BYTES else letter.encode("unicode_escape").decode("ascii")
