"""How far two arrays of scores agree, and which references say nothing."""

from typing import Any

import numpy as np
import pytest

from worker.models.agreement import AGREES, clearest_half, compare, why_meaningless
from worker.models.errors import ModelError
from worker.models.reference_photographs import COUNT


def scores(*rows: list[float]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(rows, dtype=np.float32)


def test_agreement_is_the_share_of_equal_best_classes_and_the_largest_difference() -> None:
    reference = scores([0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5], [0.4, 0.35, 0.25])
    found = compare(scores([0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5], [0.375, 0.45, 0.175]), reference)
    assert (found.images, found.top1) == (4, 0.75)
    assert found.largest_difference == pytest.approx(0.1)


def test_equal_scores_agree_wholly() -> None:
    found = compare(scores([0.5, 0.5], [0.1, 0.9]), scores([0.5, 0.5], [0.1, 0.9]))
    assert (found.images, found.top1, found.largest_difference) == (2, 1.0, 0.0)


def test_one_of_the_photographs_compared_may_differ_and_two_may_not() -> None:
    reference = np.tile(scores([0.6, 0.4]), (COUNT // 2, 1))
    for differing, agrees in ((1, True), (2, False)):
        other = reference.copy()
        other[:differing] = (0.4, 0.6)
        assert (compare(other, reference).top1 >= AGREES) is agrees


@pytest.mark.parametrize(
    "bad",
    [
        scores([0.5, 0.5]),
        scores([0.5, 0.3, 0.2], [0.5, 0.3, 0.2]),
        scores([0.5, np.nan], [0.1, 0.9]),
        scores([0.5, np.inf], [0.1, 0.9]),
    ],
)
def test_scores_that_cannot_be_compared_are_an_error(bad: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    with pytest.raises(ModelError, match=r"shape|finite"):
        compare(bad, scores([0.5, 0.5], [0.1, 0.9]))


@pytest.mark.parametrize("shape", [(2, 2, 2), (2,), (), (0, 2), (2, 0)])
def test_arrays_that_are_no_rows_of_scores_are_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="shape"):
        compare(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("reference", "numbers"),
    [
        (scores([0.9, 0.1, 0], [0.4, 0.3, 0.3], [0.1, 0.2, 0.7], [0.0, 0.55, 0.45]), [0, 2]),
        (scores([0.5, 0.5], [0.6, 0.4], [0.1, 0.9]), [1, 2]),
        (scores([0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]), [0, 1]),
        (scores([-4, -9], [7, 6]), [0]),
        (scores([0.9], [0.1]), [0, 1]),
    ],
)
def test_the_clearest_half_is_where_the_best_class_leads_by_most(
    reference: np.ndarray[Any, np.dtype[np.float32]], numbers: list[int]
) -> None:
    assert clearest_half(reference).tolist() == numbers


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (scores([0.5, 0.5], [0.1, 0.9]), ""),
        (scores([0.1, 0.9], [0.2, 0.8]), ""),
        (scores([0.3], [0.7]), "one label"),
        (scores([0.5, 0.5], [0.5, 0.5]), "the same for all images"),
    ],
)
def test_a_reference_that_says_nothing_is_told_apart(
    reference: np.ndarray[Any, np.dtype[np.float32]], reason: str
) -> None:
    assert reason in why_meaningless(reference)
    assert bool(why_meaningless(reference)) is bool(reason)
