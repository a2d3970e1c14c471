"""Percentiles of a histogram."""

import math

from shared.domain.status.percentiles import Percentiles, percentiles


def test_values_are_taken_as_evenly_spread_within_a_bucket() -> None:
    assert percentiles({0.1: 0, 0.2: 100, math.inf: 100}) == Percentiles(p50=0.15, p95=0.195, p99=0.199)


def test_beyond_the_last_bound_that_bound_is_told() -> None:
    assert percentiles({0.1: 1, math.inf: 100}) == Percentiles(p50=0.1, p95=0.1, p99=0.1)


def test_nothing_measured_has_no_percentiles() -> None:
    assert percentiles({}) is None
    assert percentiles({0.1: 0, math.inf: 0}) is None
