"""Percentiles from a histogram's buckets, as Prometheus' histogram_quantile computes them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Seconds below which half, 95% and 99% of what was measured lie."""

    p50: float
    p95: float
    p99: float


def percentiles(buckets: Mapping[float, float]) -> Percentiles | None:
    """Return the percentiles of cumulative counts by upper bound, with infinity among them; None where nothing is.

    Within a bucket values are taken as evenly spread; beyond the last finite bound, as that bound.
    """
    total = buckets.get(math.inf, 0.0)
    if total <= 0:
        return None
    bounds = sorted(buckets)
    return Percentiles(**{name: _quantile(share, buckets, bounds) for name, share in _SHARES.items()})


_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def _quantile(share: float, buckets: Mapping[float, float], bounds: list[float]) -> float:
    rank, below, start = share * buckets[math.inf], 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank and count > below:
            if bound == math.inf:
                break
            return round(start + (bound - start) * (rank - below) / (count - below), 6)
        below, start = count, bound
    return max((bound for bound in bounds if bound != math.inf), default=0.0)
