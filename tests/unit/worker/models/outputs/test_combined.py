"""Combining outputs, by numbers that are computed by hand, and by numpy's own mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.pipeline import Combination
from worker.models.errors import ModelError
from worker.models.outputs.combined import MeanScores, Opinion, combine

AUTO, MEAN, MAJORITY = Combination.AUTO, Combination.MEAN, Combination.MAJORITY


def says(name: str, confidence: float, *, weight: float = 1, names: tuple[str, ...] = ()) -> Opinion:
    scores = None if not names else np.array([confidence if one == name else 0.0 for one in names])
    output = {"predicted_class": name, "predicted_index": 4, "confidence": confidence}
    return Opinion(output=output, weight=weight, names=names, scores=scores)


def scored(scores: list[float], names: tuple[str, ...], weight: float = 1) -> Opinion:
    return Opinion(output={"predicted_class": "x"}, weight=weight, names=names, scores=np.array(scores, np.float32))


def test_the_mean_of_scores() -> None:
    combined, how = combine([scored([0.8, 0.2], ("cat", "dog")), scored([0.4, 0.6], ("cat", "dog"))], AUTO)
    assert how is MEAN
    assert isinstance(combined, MeanScores)
    assert combined.scores == pytest.approx([0.6, 0.4])


def test_the_weighted_mean_of_classes_in_another_order() -> None:
    one, other = scored([0.9, 0.1], ("cat", "dog"), weight=3), scored([0.7, 0.3], ("dog", "cat"))
    combined, _ = combine([one, other], AUTO)
    assert isinstance(combined, MeanScores)
    assert combined.scores == pytest.approx([(3 * 0.9 + 0.3) / 4, (3 * 0.1 + 0.7) / 4])


@given(
    st.integers(2, 5).flatmap(
        lambda classes: st.lists(
            st.tuples(st.floats(0.01, 100), st.lists(st.floats(0, 1, width=32), min_size=classes, max_size=classes)),
            min_size=2,
            max_size=8,
        )
    )
)
def test_the_mean_is_numpys_average(members: list[tuple[float, list[float]]]) -> None:
    names = tuple("abcde"[: len(members[0][1])])
    combined, _ = combine([scored(scores, names, weight) for weight, scores in members], MEAN)
    expected = np.average([scores for _, scores in members], axis=0, weights=[weight for weight, _ in members])
    assert isinstance(combined, MeanScores)
    np.testing.assert_allclose(combined.scores, expected, rtol=1e-9, atol=1e-12)


def test_other_classes_are_voted_on() -> None:
    cats = says("cat", 0.9, names=("cat", "dog")), says("cat", 0.5, names=("cat", "cow"))
    combined, how = combine([says("dog", 0.99, names=("dog", "cow")), *cats], AUTO)
    assert how is MAJORITY
    assert combined == {
        "predicted_class": "cat",
        "predicted_index": 4,
        "confidence": 0.666667,
        "probabilities": {"cat": 0.666667, "dog": 0.333333},
    }
    with pytest.raises(ModelError, match="not the same"):
        combine([says("dog", 0.99, names=("dog", "cow")), *cats], MEAN)


def test_weights_and_then_confidence_decide_a_vote() -> None:
    heavy, _ = combine([says("dog", 0.4, weight=2.5), says("cat", 0.9), says("cat", 0.9)], MAJORITY)
    assert isinstance(heavy, dict)
    assert heavy["predicted_class"] == "dog"
    tie, _ = combine([says("dog", 0.6), says("cat", 0.9)], MAJORITY)
    assert isinstance(tie, dict)
    assert (tie["predicted_class"], tie["confidence"]) == ("cat", 0.5)


def test_of_several_classes_more_than_half_must_name_one() -> None:
    outputs = [["cat", "sofa"], ["cat"], ["dog"]]
    opinions = [Opinion(output={"predicted_classes": one, "scores": {}}, weight=1) for one in outputs]
    combined, _ = combine(opinions, AUTO)
    assert combined == {
        "predicted_classes": ["cat"],
        "scores": {"cat": 0.666667, "sofa": 0.333333, "dog": 0.333333},
    }


def test_the_mean_of_named_numbers() -> None:
    opinions = [
        Opinion(output={"values": {"age": 30.0}, "units": {"age": "years"}}, weight=3),
        Opinion(output={"values": {"age": 40.0}, "units": {"age": "years"}}, weight=1),
    ]
    assert combine(opinions, AUTO) == ({"values": {"age": 32.5}, "units": {"age": "years"}}, MEAN)
    with pytest.raises(ModelError, match="no majority"):
        combine(opinions, MAJORITY)


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ([{"predicted_class": "a"}, {"values": {"x": 1}}], "different tasks"),
        ([{"detections": []}, {"detections": []}], "can't be combined"),
        ([{"values": {"x": 1}}, {"values": {"y": 1}}], "different names"),
    ],
)
def test_what_can_not_be_combined_says_why(outputs: list[dict[str, object]], why: str) -> None:
    with pytest.raises(ModelError, match=why):
        combine([Opinion(output=output, weight=1) for output in outputs], AUTO)
