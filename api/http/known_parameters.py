"""Refuses query parameters that an operation does not have: a filter misspelled would list everything."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi.exceptions import RequestValidationError

MOST_NAMED: Final = 5
"""Unknown parameters that one answer names."""
LONGEST_NAME: Final = 80


def check_parameters(query: bytes, known: Collection[str]) -> None:
    """Raise RequestValidationError where a query string has a parameter other than the `known`."""
    given = dict.fromkeys(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    unknown = [name for name in given if name not in known]
    if unknown:
        raise RequestValidationError([_unknown_parameter(name[:LONGEST_NAME], known) for name in unknown[:MOST_NAMED]])


def _unknown_parameter(name: str, known: Collection[str]) -> dict[str, Any]:
    close = get_close_matches(name.lower(), known, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return {
        "type": "unknown_parameter",
        "loc": ("query", name),
        "msg": f"there is no such parameter; {meant}there is {', '.join(known)}",
    }
