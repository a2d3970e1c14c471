"""An audit finds the step that a chain's condition asks for and that its output has not."""

from typing import Any

import pytest

from shared.domain.pipeline_answers import wrong_steps

SAID = {"model": "a", "version": "1"}
DOG = {"predicted_class": "dog", "predicted_index": 0, "confidence": 0.9, "probabilities": {"dog": 0.9}}
BOXES = {"detections": [{"label": label, "score": 0.9, "box": [0, 0, 1, 1]} for label in ("dog", "cat", "dog")]}


def chain(first: dict[str, Any], *, results: int, crop: bool = False, degraded: bool = False, **said: Any) -> Any:
    then = {"when": {"class": ["dog"]}, "crop": crop, "results": [{"models": [SAID | said]}] * results}
    return {**first, "pipeline": {"steps": [{"models": [SAID]}, then], "degraded": degraded}}


@pytest.mark.parametrize(
    "output",
    [
        {**DOG, "pipeline": {"steps": [{"models": [SAID]}], "degraded": False}},
        chain(DOG, results=1),
        chain({**DOG, "predicted_class": "cat"}, results=0),
        chain(BOXES, results=2, crop=True),
        chain(BOXES, results=1),
        chain(DOG, results=1, degraded=True, error="no"),
    ],
)
def test_a_whole_output_has_nothing_wrong(output: Any) -> None:
    assert not wrong_steps(output)


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (chain(DOG, results=0), "asks for 1"),
        (chain({**DOG, "predicted_class": "cat"}, results=1), "asks for 0"),
        (chain(BOXES, results=1, crop=True), "asks for 2"),
        (chain(DOG, results=1, error="no"), "not called degraded"),
        (DOG, "form"),
        (None, "form"),
        ({"pipeline": {"steps": [], "degraded": False}}, "form"),
    ],
)
def test_what_is_missing_is_told(output: Any, why: str) -> None:
    assert why in wrong_steps(output)
