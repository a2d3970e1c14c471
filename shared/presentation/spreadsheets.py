"""Texts of strangers in the cells of a CSV, which people open in a spreadsheet."""

import re
from typing import Final

# OWASP's list (CSV injection), with the full-width forms that some spreadsheets take for the same; at a cell's
# beginning, and where a spreadsheet that separates by something else than a comma would begin another one.
_FORMULA: Final = re.compile("\\A(?=[=+\\-@\t\r\n＝＋－＠])|(?<=[;\t\r\n])(?=[=+\\-@＝＋－＠])")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def safe_cell(text: str) -> str:
    """Return a text with a `'` before whatever a spreadsheet would run as a formula; numbers stay numbers."""
    # Nearly every name: 0.2 µs instead of 5.
    if text[:1].isalnum() and ";" not in text and text.isprintable():
        return text
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub("'", text)
