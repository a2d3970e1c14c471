"""Text as a terminal or a log shows it: whatever a terminal would obey, or nobody would see, is written out."""

from typing import Final

_FIRST_BYTE: Final = 0xDC00
_BYTES: Final = range(0xDC80, 0xDD00)
"""Python keeps an undecodable byte of a file name as 0xDC00 plus the byte (PEP 383)."""


def printable(text: str) -> str:
    r"""Return a text on one line: its printable characters, and every other one escaped, as `\n`, `\x1b`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else written_out(letter) for letter in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, each of them printable."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


def written_out(letter: str) -> str:
    r"""Return a character escaped in ASCII: `\xe9`, `\u65e5`."""
    code = ord(letter)
    return f"\\x{code - _FIRST_BYTE:02x}" if code in _BYTES else letter.encode("unicode_escape").decode("ascii")
