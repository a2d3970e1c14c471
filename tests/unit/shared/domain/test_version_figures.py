"""Figures from counters, with every expected number worked out by hand."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.version_figures import (
    LATENCY_BOUNDS,
    Figure,
    FigureCount,
    bin_milliseconds,
    figures_of,
    latencies,
    latency_bin,
)
from shared.observability.metrics.registry import FAST, SLOW


def counter(figure: Figure, name: str, count: int, *, version: str = "3", variant: str = "champion") -> FigureCount:
    return FigureCount(version=version, variant=variant, figure=figure, bin=name, count=count)


def test_counters_add_up_by_version_and_variant_in_the_order_of_versions() -> None:
    found = figures_of(
        [
            counter(Figure.OUTCOME, "succeeded model", 3, version="10"),
            counter(Figure.OUTCOME, "succeeded model", 2),
            counter(Figure.OUTCOME, "succeeded cache", 1),
            counter(Figure.OUTCOME, "failed model model_error", 1),
            counter(Figure.OUTCOME, "succeeded model", 4),
            counter(Figure.OUTCOME, "succeeded model", 5, variant="challenger"),
            counter(Figure.CLASS, "cat", 2),
            counter(Figure.CLASS, "dog", 5),
        ]
    )
    assert list(found) == [("3", "challenger"), ("3", "champion"), ("10", "champion")]
    third = found["3", "champion"]
    assert (third.count, third.computed, third.failed_share) == (8, 7, 1 / 8)
    assert third.errors == {"model_error": 1}
    assert list(third.classes.items()) == [("dog", 5), ("cat", 2)]
    assert (third.queue_ms, third.predict_ms, third.total_ms) == (None, None, None)


def test_without_any_that_ended_no_share_failed() -> None:
    canceled = figures_of([counter(Figure.OUTCOME, "canceled model deadline_exceeded", 1)])["3", "champion"]
    assert canceled.failed_share == 0
    assert canceled.errors == {"deadline_exceeded": 1}


def test_percentiles_are_by_nearest_rank() -> None:
    # 1.05^14 = 1.98 ms holds 90 of 100, 1.05^95 = 103 ms nine, 1.05^142 = 1,021 ms one.
    found = latencies({"14": 90, "95": 9, "142": 1})
    assert found is not None
    low, middle = (round(2 * 1.05**number / 2.05, 3) for number in (14, 95))
    assert (found.p50, found.p90, found.p95, found.p99) == (low, low, middle, middle)
    assert latencies({"14": 0}) is None


def test_a_latency_histogram_has_the_bounds_of_the_metrics() -> None:
    assert list(LATENCY_BOUNDS) == sorted({1000 * seconds for seconds in (*FAST, *SLOW)})


def test_a_histogram_has_every_image_in_one_bucket() -> None:
    # 0.4 ms; 1.98 ms (90); 2.4 ms (4); 2.6 ms (3); 103 ms; an hour (2).
    found = latencies({"-18": 1, "14": 90, "18": 4, "20": 3, "95": 1, str(latency_bin(3_600_000)): 2, "300": 0})
    assert found is not None
    assert found.counts == (1, 0, 94, 3, 0, 0, 0, 0, 1, *([0] * 9), 2)


@given(st.lists(st.floats(0.0001, 1e10), min_size=1))
def test_a_histogram_misplaces_nothing_but_what_is_near_a_bound(all_milliseconds: list[float]) -> None:
    counted = Counter(str(latency_bin(one)) for one in all_milliseconds)
    found = latencies(counted)
    assert found is not None
    for place, bound in enumerate(LATENCY_BOUNDS, start=1):
        below = sum(found.counts[:place])
        assert sum(one <= bound * 0.975 for one in all_milliseconds) <= below
        assert below <= sum(one <= bound * 1.025 for one in all_milliseconds)


@given(st.floats(0.001, 1e9))
def test_the_estimate_of_a_latency_is_within_two_and_a_half_percent(milliseconds: float) -> None:
    assert bin_milliseconds(latency_bin(milliseconds)) == pytest.approx(milliseconds, rel=0.025)
