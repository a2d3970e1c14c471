"""Ages and pauses as people write them on a command line: `30s`, `10m`, `24h`, `7d`, `2w`."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhdw])", re.ASCII)


def written_age(age: timedelta) -> str:
    """Return a duration as `parse_age` reads it, in the largest unit up to days that divides it: `90s`, `10m`, `7d`."""
    for letter in "dhm":
        count, rest = divmod(age, timedelta(**{_UNITS[letter]: 1}))
        if count and not rest:
            return f"{count}{letter}"
    return f"{age.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


def parse_age(text: str) -> timedelta:
    """Return the duration of a text; raises ValueError, with the rule, for another text, and for no duration at all."""
    match = _AGE.fullmatch(text.strip().lower())
    try:
        age = timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else timedelta(0)
    except OverflowError:
        age = timedelta(0)
    if not age:
        raise ValueError(f"must be a number above 0 and one of s, m, h, d, w, such as 24h or 7d, not {text[:40]!r}")
    return age
