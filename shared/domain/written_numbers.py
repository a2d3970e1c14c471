"""Numbers as people write them, and as JSON has them."""

import math
from decimal import Decimal
from typing import TypeGuard


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value of JSON is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def whole_number(text: str, *, most: int) -> int | None:
    """Return the whole number from 0 to `most` that a text is; None for any other text, of whatever length.

    `int` refuses to read thousands of digits.
    """
    if not text.isdecimal() or len(text) > len(str(most)):
        return None
    number = int(text)
    return number if number <= most else None


def written(value: float, *, digits: int = 6) -> str:
    """Return a number with commas and without an exponent: so many significant digits, and each one before the point.

    Python's own `g` writes 31,812 with three digits as `3.18e+04`.
    """
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{Decimal(f'{value:.{digits}g}'):,f}"
