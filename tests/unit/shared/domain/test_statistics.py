"""The formulas against scipy, and against numbers that can be worked out by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.statistics import (
    EXACT_BELOW,
    chi_squared_95,
    mcnemar_p,
    stability_bins,
    stability_by_chance,
    stability_index,
    wilson_interval,
)
from tests.support.deferred_imports import deferred

stats = deferred("scipy.stats")


@settings(max_examples=30)  # SciPy takes 5 ms each time
@given(st.integers(1, 3000), st.floats(0, 1))
def test_wilsons_interval_is_scipys(trials: int, share: float) -> None:
    successes = round(trials * share)
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilsons_interval_of_nothing_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0, 1)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemars_test_is_scipys(first: int, second: int) -> None:
    pairs = first + second
    if not pairs:
        expected = 1.0
    elif pairs < EXACT_BELOW:
        expected = float(stats.binomtest(first, pairs, 0.5).pvalue)
    else:
        expected = float(stats.chi2.sf(max(0, abs(first - second) - 1) ** 2 / pairs, 1))
    assert mcnemar_p(first, second) == pytest.approx(expected, abs=1e-9)


def test_mcnemars_test_by_hand() -> None:
    # 2 of 10 one way: 2·(1 + 10 + 45) / 1,024.
    assert mcnemar_p(2, 8) == 2 * 56 / 1024
    # (|5 - 20| - 1)² / 25 = 7.84 is 2.8 standard deviations squared.
    assert mcnemar_p(5, 20) == pytest.approx(math.erfc(2.8 / math.sqrt(2)))
    assert mcnemar_p(5, 0) > 0.05 > mcnemar_p(6, 0)


def test_the_stability_index_by_hand() -> None:
    # Shares with half an image more in each of two bins: 60.5/101 and 40.5/101 before, 40.5/101 and 60.5/101 now.
    index = stability_index([(60, 40), (40, 60)])
    assert index == pytest.approx(2 * (20 / 101) * math.log(60.5 / 40.5))
    assert stability_index([(5, 50), (5, 50)]) == pytest.approx(0)
    assert 0 < stability_index([(10, 0), (0, 10)]) < math.inf


def test_rare_classes_share_a_bin() -> None:
    expected = {str(number): 100 - number for number in range(30)}
    bins = stability_bins(expected, {"0": 3, "25": 2, "new": 7})
    assert len(bins) == 20
    assert bins[0] == (100, 3)
    assert bins[-1] == (sum(100 - number for number in range(19, 30)), 9)
    assert stability_bins({"cat": 1}, {"dog": 2}) == [(1, 0), (0, 2)]


def test_chance_alone_exceeds_the_bound_in_one_of_twenty_samples() -> None:
    bins = [(1000, 100), (1000, 100), (1000, 100)]
    assert stability_by_chance(bins) == pytest.approx((1 / 3000 + 1 / 300) * stats.chi2.ppf(0.95, 2), rel=0.02)
    assert stability_by_chance([(0, 5), (0, 5)]) == 0
    assert stability_by_chance([(5, 5)]) == 0


@pytest.mark.parametrize("degrees", [1, 2, 5, 19, 100])
def test_the_chi_squared_quantile_is_scipys(degrees: int) -> None:
    assert chi_squared_95(degrees) == pytest.approx(stats.chi2.ppf(0.95, degrees), rel=0.025)
