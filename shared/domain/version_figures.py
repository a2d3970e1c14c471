"""Figures of one version of a model: counts, errors, latencies, confidences and classes, from counters.

A counter says how many predictions fell into one bin of one figure. Counters add up, so those of any time and any
owner's can be merged; percentiles of merged counters are within 2.5% of the exact ones.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from shared.domain.prediction import Source, Status

GROWTH: Final = 1.05
"""Ratio of a latency bin's upper bound to its lower one. Bin i has the latencies in (1.05^(i-1), 1.05^i] milliseconds.

The estimate of what is in a bin, 2·γ^i/(γ+1), is at most (γ-1)/(γ+1) = 2.44% off: DDSketch, section 2.1 (Masson, Rim,
Lee, 2019, https://arxiv.org/abs/1908.10693).
"""
LEAST_MS: Final = 0.001
MOST_MS: Final = 1e9
"""Latencies below and above are counted as these."""
LATENCY_BOUNDS: Final = (
    0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 30_000.0, 60_000.0,
    300_000.0, 1_800_000.0,
)  # fmt: skip
"""Upper bounds in milliseconds of a latency histogram's buckets, those of the metrics; one more has the rest."""
CONFIDENCE_BINS: Final = 20
"""Bins of equal width from 0 to 1; the last one includes 1."""


class Figure(StrEnum):
    """What is counted of a prediction."""

    OUTCOME = "outcome"
    """Status, source and error code, separated by spaces."""
    QUEUE = "queue"
    """Latency bin of the time in the queue; latencies are those of images that a model computed successfully."""
    PREDICT = "predict"
    """Latency bin of its share of the forward pass."""
    TOTAL = "total"
    """Latency bin of the time from submission to the end."""
    CONFIDENCE = "confidence"
    """Confidence bin of a classification."""
    CLASS = "class"
    """Predicted class of a classification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureCount:
    """So many predictions of a version and variant fell into a bin of a figure."""

    version: str
    variant: str
    figure: Figure
    bin: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Percentiles in milliseconds, each within 2.5%: of so many hundredths of the images none took longer."""

    p50: float
    p90: float
    p95: float
    p99: float
    counts: tuple[int, ...]
    """Numbers of images by bucket of LATENCY_BOUNDS; one within 2.5% of a bound may be in the bucket beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFigures:
    """Figures of one version's predictions of one variant.

    `errors` are failed and canceled predictions by code; latencies are None where no image was computed.
    """

    version: str
    variant: str
    statuses: Mapping[str, int]
    sources: Mapping[str, int]
    errors: Mapping[str, int]
    queue_ms: Latencies | None
    predict_ms: Latencies | None
    total_ms: Latencies | None
    confidence: tuple[int, ...]
    """Counts of CONFIDENCE_BINS bins; all zero where outputs have no confidence."""
    classes: Mapping[str, int]

    @property
    def count(self) -> int:
        """Number of predictions."""
        return sum(self.statuses.values())

    @property
    def failed_share(self) -> float:
        """Share of failed ones among those that succeeded or failed; 0 where there are none."""
        failed = self.statuses.get(Status.FAILED, 0)
        ended = failed + self.statuses.get(Status.SUCCEEDED, 0)
        return failed / ended if ended else 0.0

    @property
    def computed(self) -> int:
        """Number of predictions that were no copies: neither from the cache nor of the same image at the same time."""
        return self.sources.get(Source.MODEL, 0)


@dataclass(slots=True)
class _Counted:
    """Counters of one version and variant, by figure."""

    bins: dict[Figure, Counter[str]] = field(default_factory=lambda: {figure: Counter() for figure in Figure})


def latency_bin(milliseconds: float) -> int:
    """Return the number of a latency's bin; the SQL that fills the counters has the same formula."""
    return math.ceil(math.log(min(max(milliseconds, LEAST_MS), MOST_MS)) / math.log(GROWTH))


def bin_milliseconds(number: int) -> float:
    """Return the estimate of a latency in this bin."""
    return float(2 * GROWTH**number / (GROWTH + 1))


def figures_of(counts: Iterable[FigureCount]) -> dict[tuple[str, str], VersionFigures]:
    """Add counters up; return the figures by version and variant, in the order of versions."""
    found: dict[tuple[str, str], _Counted] = {}
    for one in counts:
        counted = found.setdefault((one.version, one.variant), _Counted())
        counted.bins[one.figure][one.bin] += one.count
    return {key: _figures(*key, found[key].bins) for key in sorted(found, key=_in_order)}


def latencies(bins: Mapping[str, int]) -> Latencies | None:
    """Return percentiles, by nearest rank, and the histogram of counts by latency bin; None where there are none."""
    counts = sorted((int(number), count) for number, count in bins.items() if count > 0)
    total = sum(count for _, count in counts)
    if not total:
        return None

    def at(percent: int) -> float:
        rank, passed = math.ceil(total * percent / 100), 0
        for number, count in counts:
            passed += count
            if passed >= rank:
                return round(bin_milliseconds(number), 3)
        raise AssertionError("no rank is above the total")

    buckets = [0] * (len(LATENCY_BOUNDS) + 1)
    for number, count in counts:
        buckets[bisect_left(LATENCY_BOUNDS, bin_milliseconds(number))] += count
    return Latencies(p50=at(50), p90=at(90), p95=at(95), p99=at(99), counts=tuple(buckets))


def _figures(version: str, variant: str, bins: Mapping[Figure, Counter[str]]) -> VersionFigures:
    statuses, sources, errors = Counter[str](), Counter[str](), Counter[str]()
    for outcome, count in bins[Figure.OUTCOME].items():
        status, source, code = [*outcome.split(" ", 2), ""][:3]
        statuses[status] += count
        sources[source] += count
        if code:
            errors[code] += count
    confidence = bins[Figure.CONFIDENCE]
    return VersionFigures(
        version=version,
        variant=variant,
        statuses=dict(sorted(statuses.items())),
        sources=dict(sorted(sources.items())),
        errors=dict(errors.most_common()),
        queue_ms=latencies(bins[Figure.QUEUE]),
        predict_ms=latencies(bins[Figure.PREDICT]),
        total_ms=latencies(bins[Figure.TOTAL]),
        confidence=tuple(confidence[str(number)] for number in range(CONFIDENCE_BINS)),
        classes=dict(sorted(bins[Figure.CLASS].items(), key=lambda item: (-item[1], item[0]))),
    )


def _in_order(key: tuple[str, str]) -> tuple[int, str, str]:
    version, variant = key
    return int(version) if version.isascii() and version.isdigit() else -1, version, variant
