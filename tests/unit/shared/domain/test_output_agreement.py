"""Two outputs agree by class, by classes or as JSON; others are not compared."""

from typing import Any

import pytest

from shared.domain.output_agreement import outputs_agree


def classified(label: str, confidence: float = 0.9) -> dict[str, Any]:
    return {
        "predicted_class": label,
        "predicted_index": 1,
        "confidence": confidence,
        "probabilities": {label: confidence},
    }


def several(*labels: str) -> dict[str, Any]:
    return {"predicted_classes": list(labels), "scores": dict.fromkeys(labels, 0.7)}


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        (classified("7"), classified("7", 0.4), True),
        (classified("7"), classified("1"), False),
        (several("a", "b"), several("b", "a"), True),
        (several("a", "b"), several("a"), False),
        ({"text": "a", "n": 1}, {"n": 1, "text": "a"}, True),
        ({"text": "a"}, {"text": "b"}, False),
        ([1, 2], [1, 2], True),
        (classified("7"), several("7"), None),
        ({"values": {"age": 31.0}}, {"values": {"age": 31.0}}, None),
        ({"dimensions": 1, "embedding": [1.0]}, {"dimensions": 1, "embedding": [1.0]}, None),
        ({"detections": []}, {"detections": []}, None),
    ],
)
def test_outputs_agree_where_that_has_a_meaning(first: Any, second: Any, *, agree: bool | None) -> None:
    assert outputs_agree(first, second) is agree
