"""An output is an image's own where it is the same alone, among others, and each time."""

import json
from typing import Any

import pytest

from worker.models.own_outputs import BY_CHANCE, BY_NEIGHBOURS, find_fault, is_alike


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


SCORES = {
    "predicted_class": "cat",
    "predicted_index": 0,
    "confidence": 0.51,
    "probabilities": {"cat": 0.51, "dog": 0.49},
}


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (SCORES, SCORES, True),
        # A tie that rounding decides otherwise.
        (SCORES, {"predicted_index": 1, "confidence": 0.505, "probabilities": {"dog": 0.505, "cat": 0.495}}, True),
        (SCORES, {"predicted_index": 1, "confidence": 0.9, "probabilities": {"dog": 0.9, "cat": 0.1}}, False),
        ({"embedding": [100.0, 0.1]}, {"embedding": [101.0, 0.9]}, True),
        ({"embedding": [1.0, 0.1]}, {"embedding": [1.0, 0.9]}, False),
        ({"detections": []}, {"detections": []}, True),
        ({"detections": []}, {"detections": [{"label": "cat", "score": 0.9, "box": [0, 0, 1, 1]}]}, False),
        (
            {"detections": [{"label": "cat", "score": 0.9, "box": [0, 0, 1, 1]}]},
            {"detections": [{"label": "cat", "score": 0.9, "box": [50, 50, 90, 90]}]},
            True,
        ),
        ([], ["a"], True),
    ],
)
def test_outputs_are_compared_by_their_numbers(one: Any, other: Any, alike: bool) -> None:  # noqa: FBT001
    assert is_alike(text(one), text(other)) is alike
    assert is_alike(text(other), text(one)) is alike


def test_a_fault_is_told_by_its_kind() -> None:
    images = [0.1, 0.5, 0.9]
    together = [text([image]) for image in images]
    assert find_fault(lambda image: text([image]), images, together) == ""
    assert find_fault(lambda image: text([image]), images, together[::-1]) == BY_NEIGHBOURS
    calls: list[object] = []

    def by_chance(image: object) -> bytes:
        calls.append(image)
        return text([len(calls)])

    assert find_fault(by_chance, images, together) == BY_CHANCE
    assert find_fault(lambda image: text([image]), [], []) == ""
