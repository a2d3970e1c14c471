"""The few statistical formulas that reports need, each with its source. Standard library only."""

import math
from collections.abc import Mapping
from typing import Final

Z95: Final = 1.959963984540054
"""Quantile 0.975 of the standard normal distribution: 95% lie within this many standard deviations."""
SIGNIFICANT: Final = 0.05
"""A difference is called real where chance alone would give one as large in fewer than 1 of 20 cases."""
LEAST_DISCORDANT: Final = 6
"""Fewer pairs that differ can't reach SIGNIFICANT, however they fall: 2·0.5^5 = 0.0625, 2·0.5^6 = 0.03125."""
EXACT_BELOW: Final = 25
"""Discordant pairs below which McNemar's test is computed exactly, as is usual."""
PSI_BINS: Final = 20
"""The most frequent classes but one have bins of their own, all others share the last."""
MODERATE: Final = 0.1
LARGE: Final = 0.25
"""Thresholds of the population stability index: N. Siddiqi, Credit Risk Scorecards (Wiley, 2006)."""


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of a proportion; (0, 1) without trials.

    (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n): E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212.
    """
    if not trials:
        return 0.0, 1.0
    share, square = successes / trials, Z95 * Z95
    centre = share + square / (2 * trials)
    spread = Z95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    scale = 1 + square / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def mcnemar_p(first_only: int, second_only: int) -> float:
    """Return the two-sided p-value of McNemar's test: so many pairs that only the first, only the second got right.

    Below EXACT_BELOW pairs exact, from the binomial distribution with 0.5 (the sign test); else chi-squared with one
    degree of freedom of (|b - c| - 1)² / (b + c). Q. McNemar, Psychometrika 12 (1947), 153-157; the correction by A. L.
    Edwards, Psychometrika 13 (1948), 185-187.
    """
    pairs = first_only + second_only
    if not pairs:
        return 1.0
    if pairs < EXACT_BELOW:
        tail = sum(math.comb(pairs, count) for count in range(min(first_only, second_only) + 1))
        return min(1.0, tail / float(2 ** (pairs - 1)))
    statistic = max(0, abs(first_only - second_only) - 1) ** 2 / pairs
    return math.erfc(math.sqrt(statistic / 2))


def stability_bins(expected: Mapping[str, int], actual: Mapping[str, int]) -> list[tuple[int, int]]:
    """Return the counts of both samples by bin: the most frequent classes of `expected`, then all others together."""
    classes = sorted({*expected, *actual}, key=lambda name: (-expected.get(name, 0), -actual.get(name, 0), name))
    alone = classes if len(classes) <= PSI_BINS else classes[: PSI_BINS - 1]
    bins = [(expected.get(name, 0), actual.get(name, 0)) for name in alone]
    if len(classes) > len(alone):
        others = classes[len(alone) :]
        bins.append((sum(expected.get(name, 0) for name in others), sum(actual.get(name, 0) for name in others)))
    return bins


def stability_index(bins: list[tuple[int, int]]) -> float:
    """Return the population stability index of (expected, actual) counts: Σ (a - e)·ln(a / e) over shares a and e.

    Half an image is added to every bin of both, so that an empty bin gives a finite index.
    """
    expected = sum(count for count, _ in bins) + len(bins) / 2
    actual = sum(count for _, count in bins) + len(bins) / 2
    shares = [((first + 0.5) / expected, (second + 0.5) / actual) for first, second in bins]
    return sum((second - first) * math.log(second / first) for first, second in shares)


def stability_by_chance(bins: list[tuple[int, int]]) -> float:
    """Return the index that samples of this size exceed by chance in 1 of 20 cases where nothing has changed.

    It is about (1/n + 1/m)·χ² with a degree of freedom less than bins: B. Yurdakul, J. Naranjo, Statistical properties
    of the population stability index, Journal of Risk Model Validation 14 (2020).
    """
    expected, actual = (sum(pair[index] for pair in bins) for index in (0, 1))
    if not expected or not actual or len(bins) < 2:  # noqa: PLR2004  one bin has every share
        return 0.0
    return (1 / expected + 1 / actual) * chi_squared_95(len(bins) - 1)


def chi_squared_95(degrees: int) -> float:
    """Return quantile 0.95 of the chi-squared distribution, within 2%.

    E. B. Wilson, M. M. Hilferty, Proc. Natl. Acad. Sci. 17 (1931), 684-688.
    """
    normal_95 = 1.6448536269514722
    return float(degrees * (1 - 2 / (9 * degrees) + normal_95 * math.sqrt(2 / (9 * degrees))) ** 3)
