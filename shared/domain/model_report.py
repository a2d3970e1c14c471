"""A report on a model: figures by version, drift, agreement with the shadow, accuracy, and what a difference means."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import combinations
from typing import Any, Final, NamedTuple

from shared.domain.output_form import are_numbers
from shared.domain.statistics import (
    LARGE,
    LEAST_DISCORDANT,
    MODERATE,
    SIGNIFICANT,
    mcnemar_p,
    stability_bins,
    stability_by_chance,
    stability_index,
    wilson_interval,
)
from shared.domain.version_figures import VersionFigures

MOST_COMPARED: Final = 6
"""Versions that are compared with each other, the highest: each pair is a test of its own."""


class Drift(StrEnum):
    """What a population stability index says."""

    STABLE = "stable"
    """Below 0.1."""
    MODERATE = "moderate"
    """From 0.1 on."""
    LARGE = "large"
    """From 0.25 on."""
    TOO_FEW = "too few to tell"
    """From 0.1 on, but samples of this size often differ as much by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDrift:
    """How far the shares of classes are from the model's first week."""

    index: float
    by_chance: float
    """What samples of this size exceed in 1 of 20 cases where nothing has changed."""
    verdict: Drift


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstWeek:
    """Classes predicted in a model's first week on record, by all its versions that answer."""

    since: datetime
    until: datetime
    classes: Mapping[str, int]


class Judged(NamedTuple):
    """One answered image with feedback. `is_right` or `error` is None where the task has no such thing.

    A report has 100,000 of them, and a tuple is made three times as fast as a dataclass.
    """

    digest: str
    id: str
    version: str
    variant: str
    is_right: bool | None = None
    error: float | None = None
    """Mean absolute difference of the values, where they are numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How many of the labelled images were answered right, with Wilson's 95% interval."""

    labelled: int
    right: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Mean absolute error of numbers, on images whose value was told."""

    labelled: int
    mean_absolute_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowAgreement:
    """Answers of a shadow compared with its champion's, the newest; `ids` are predictions where they differ."""

    version: str
    compared: int
    agreed: int
    not_comparable: int
    low: float
    high: float
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionReport:
    """All that is known of one version's predictions of one variant."""

    figures: VersionFigures
    drift: ClassDrift | None
    accuracy: Accuracy | None
    errors: Errors | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two versions on the labelled images that both saw: how many only one of them got right, or nearer.

    `sentence` says whether that means anything.
    """

    versions: tuple[str, str]
    images: int
    only_first: int
    only_second: int
    p: float | None
    """None where too few differ."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """A report on a model. `uncounted`: recorded predictions that it leaves out, since they wait to be counted."""

    model: str
    since: datetime
    versions: tuple[VersionReport, ...]
    shadows: tuple[ShadowAgreement, ...]
    comparisons: tuple[Comparison, ...]
    first_week: FirstWeek | None
    uncounted: int = 0


def make_report(
    model: str,
    since: datetime,
    *,
    figures: Iterable[VersionFigures],
    first_week: FirstWeek | None,
    judged: Sequence[Judged],
    shadows: Sequence[ShadowAgreement],
    uncounted: int,
) -> ModelReport:
    """Put a report together from what was read."""
    by_version: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        by_version.setdefault((one.version, one.variant), []).append(one)
    versions = []
    for each in figures:
        told = by_version.get((each.version, each.variant), [])
        drift = class_drift(first_week.classes, each.classes) if first_week else None
        versions.append(VersionReport(figures=each, drift=drift, accuracy=_accuracy(told), errors=_errors(told)))
    return ModelReport(
        model=model,
        since=since,
        versions=tuple(versions),
        shadows=tuple(shadows),
        comparisons=tuple(compare_versions(judged, [one.figures.version for one in versions])),
        first_week=first_week,
        uncounted=uncounted,
    )


def class_drift(expected: Mapping[str, int], actual: Mapping[str, int]) -> ClassDrift | None:
    """Return how far the shares of classes moved; None where one of the samples is empty."""
    if not expected or not actual:
        return None
    bins = stability_bins(expected, actual)
    index, by_chance = stability_index(bins), stability_by_chance(bins)
    if index < MODERATE:
        verdict = Drift.STABLE
    elif index <= by_chance:
        verdict = Drift.TOO_FEW
    else:
        verdict = Drift.MODERATE if index < LARGE else Drift.LARGE
    return ClassDrift(index=index, by_chance=by_chance, verdict=verdict)


def is_right(output: Any, *, label: str | None, value: Any) -> bool | None:
    """Tell whether an output says what the feedback says: the same class, or the same set of classes; None if neither.

    Boxes, vectors and numbers are never simply right.
    """
    match output:
        case {"predicted_class": str(predicted)} if label is not None:
            return predicted == label
        case {"predicted_classes": [*predicted]} if isinstance(value, list):
            return {str(one) for one in predicted} == {str(one) for one in value}
    return None


def absolute_error(output: Any, value: Any) -> float | None:
    """Return the mean absolute difference of a regression's values from the told ones; None where there are none.

    `value` is a number where the model has one value, or an object of numbers by name.
    """
    values = output.get("values") if isinstance(output, dict) else None
    if not are_numbers(values) or not values:
        return None
    told = {next(iter(values)): value} if type(value) in (int, float) and len(values) == 1 else value
    if not are_numbers(told):
        return None
    both = values.keys() & told.keys()
    return sum(abs(values[name] - told[name]) for name in both) / len(both) if both else None


def compare_versions(judged: Sequence[Judged], versions: Iterable[str]) -> list[Comparison]:
    """Compare every two of the versions, the highest MOST_COMPARED, on images that both saw and that are labelled.

    An image that a version saw more than once counts once, as it was answered and labelled last.
    """
    in_order = list(dict.fromkeys(versions))[-MOST_COMPARED:]
    latest: dict[str, dict[str, Judged]] = {version: {} for version in in_order}
    for one in sorted(judged, key=lambda one: one.id):
        if one.version in latest:
            latest[one.version][one.digest] = one
    return [_compare(first, second, latest[first], latest[second]) for first, second in combinations(in_order, 2)]


def _compare(first: str, second: str, of_first: Mapping[str, Judged], of_second: Mapping[str, Judged]) -> Comparison:
    images = only_first = only_second = 0
    word = "right"
    for digest in of_first.keys() & of_second.keys():
        one, other = of_first[digest], of_second[digest]
        if one.is_right is not None and other.is_right is not None:
            images += 1
            only_first += one.is_right and not other.is_right
            only_second += other.is_right and not one.is_right
        elif one.error is not None and other.error is not None:
            word = "nearer"
            images += 1
            only_first += one.error < other.error
            only_second += other.error < one.error
    pairs = only_first + only_second
    p = mcnemar_p(only_first, only_second) if pairs >= LEAST_DISCORDANT else None
    sentence = _sentence((first, second), images, (only_first, only_second), p, word)
    return Comparison(
        versions=(first, second), images=images, only_first=only_first, only_second=only_second, p=p, sentence=sentence
    )


def _sentence(versions: tuple[str, str], images: int, only: tuple[int, int], p: float | None, word: str) -> str:
    """Say in one sentence whether a difference means anything."""
    if not images:
        return f"Too few to tell: no labelled image was seen by both version {versions[0]} and version {versions[1]}."
    seen = f"of {images:,} labelled image{'' if images == 1 else 's'} that both saw"
    if p is None:
        return (
            f"Too few to tell: {seen}, versions {versions[0]} and {versions[1]} differ in {sum(only)}, and fewer than "
            f"{LEAST_DISCORDANT} can't show a difference."
        )
    better = 0 if only[0] > only[1] else 1
    facts = f"{seen}, only version {versions[0]} is {word} on {only[0]:,}, only version {versions[1]} on {only[1]:,}"
    chance = f"p = {p:.2g}" if p >= 0.0001 else "p < 0.0001"  # noqa: PLR2004  smaller ones say nothing more
    if p < SIGNIFICANT:
        return f"Version {versions[better]} is better: {facts}, which is hardly chance ({chance})."
    return f"No difference can be shown: {facts}, which may well be chance ({chance})."


def _accuracy(judged: Sequence[Judged]) -> Accuracy | None:
    told = [one.is_right for one in judged if one.is_right is not None]
    if not told:
        return None
    low, high = wilson_interval(sum(told), len(told))
    return Accuracy(labelled=len(told), right=sum(told), share=sum(told) / len(told), low=low, high=high)


def _errors(judged: Sequence[Judged]) -> Errors | None:
    told = [one.error for one in judged if one.error is not None]
    return Errors(labelled=len(told), mean_absolute_error=sum(told) / len(told)) if told else None
