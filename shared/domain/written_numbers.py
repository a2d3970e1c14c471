"""Numbers as people write them."""

import math
from decimal import Decimal


def written(value: float, *, digits: int = 6) -> str:
    """Return a number with commas and without an exponent: so many significant digits, and each one before the point.

    Python's own `g` writes 31,812 with three digits as `3.18e+04`.
    """
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{Decimal(f'{value:.{digits}g}'):,f}"
