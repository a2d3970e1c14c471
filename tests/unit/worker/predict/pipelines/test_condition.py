"""When a chain goes on, and about what: conditions on each task's outputs, and the crops of boxes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.pipeline import MOST_CROPS, Combination, Condition
from shared.domain.pipeline_plan import PlannedStep, PlannedThen
from worker.models.errors import ModelError
from worker.predict.pipelines.condition import Selection, select, whole_pixels

CAT = {"predicted_class": "cat", "predicted_index": 0, "confidence": 0.7, "probabilities": {}}
SIZE = (100, 50)


def then(*classes: str, least: float | None = None, crop: bool = False) -> PlannedThen:
    step = PlannedStep(members=(), combine=Combination.AUTO)
    return PlannedThen(step=step, when=Condition(classes=classes or None, min_confidence=least), crop=crop)


def boxes(*found: tuple[str, float]) -> dict[str, Any]:
    return {"detections": [{"label": label, "score": score, "box": [1.5, 2, 3, 4]} for label, score in found]}


@pytest.mark.parametrize(
    ("asked", "output", "goes_on"),
    [
        (then(), CAT, True),
        (then("cat"), CAT, True),
        (then("dog"), CAT, False),
        (then("cat", least=0.7), CAT, True),
        (then(least=0.71), CAT, False),
        (then("sofa"), {"predicted_classes": ["cat", "sofa"], "scores": {"cat": 0.9, "sofa": 0.6}}, True),
        (then("sofa", least=0.7), {"predicted_classes": ["cat", "sofa"], "scores": {"cat": 0.9, "sofa": 0.6}}, False),
        (then("dog"), boxes(("cat", 0.9), ("dog", 0.5)), True),
        (then("dog", least=0.6), boxes(("cat", 0.9), ("dog", 0.5)), False),
        (then(), boxes(), False),
        (then(), {"values": {"age": 3.0}}, True),
        (
            then("road", least=0.2),
            {"width": 1, "height": 1, "mask": "", "classes": [{"label": "road", "index": 1, "share": 0.3}]},
            True,
        ),
    ],
)
def test_the_picture_goes_on_where_the_condition_is_met(
    asked: PlannedThen,
    output: dict[str, Any],
    goes_on: bool,  # noqa: FBT001  a column of the table
) -> None:
    assert select(asked, output, size=SIZE) == ([Selection()] if goes_on else [], 0)


def test_the_crops_of_the_boxes_that_count_go_on() -> None:
    found = boxes(("cat", 0.9), ("dog", 0.8), ("dog", 0.2))
    selected, left_out = select(then("dog", least=0.5, crop=True), found, size=SIZE)
    assert selected == [Selection(1, (1, 2, 3, 4))]
    assert left_out == 0


def test_crops_over_the_bound_are_left_out() -> None:
    found = boxes(*[("dog", 0.9)] * (MOST_CROPS + 5))
    selected, left_out = select(then(crop=True), found, size=SIZE)
    assert (len(selected), left_out) == (MOST_CROPS, 5)


def test_a_condition_that_an_output_can_not_meet_is_an_error() -> None:
    with pytest.raises(ModelError, match="no classes"):
        select(then("dog"), {"values": {"age": 3.0}}, size=SIZE)
    with pytest.raises(ModelError, match="cropped"):
        select(then(crop=True), CAT, size=SIZE)


@given(st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4), st.integers(1, 500), st.integers(1, 500))
def test_a_crop_is_never_empty_nor_outside(box: list[float], width: int, height: int) -> None:
    x0, y0, x1, y1 = whole_pixels(box, (width, height))
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
