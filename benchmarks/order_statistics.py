"""Percentiles and medians of measured values."""

import math
import statistics
from collections.abc import Iterable


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    # 0.07 * 100 is 7.000000000000001 to a computer, and would be rounded up.
    return ordered[max(0, math.ceil(round(share * len(ordered), 6)) - 1)]


def middle(values: Iterable[float]) -> float:
    """Return the median of repeated runs."""
    return statistics.median(values)
