"""A detector's raw head becomes the boxes that it has found: compared with non-maximum suppression in plain Python."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.deferred_imports import deferred
from worker.models.errors import ModelError
from worker.models.metadata.model_metadata import ModelMetadata

torch = deferred("torch")
by_task = deferred("worker.models.outputs.by_task")
output_readers = deferred("worker.models.outputs.readers")
pytestmark = pytest.mark.xdist_group("torch")  # one process imports torch

SIDE = 64
LABELS = ["cat", "dog", "owl"]
THRESHOLD = 0.25


def metadata(layout: str, **more: Any) -> ModelMetadata:
    image = {"resize_size": [SIDE, SIDE], "pad": "end"}
    found = {"image": image, "task": "detection", "labels": LABELS, "raw_boxes": layout, "threshold": THRESHOLD}
    return ModelMetadata.from_metadata(found | more)


def heads(boxes: Any, scores: Any, layout: str) -> Any:
    """Return corners (images, boxes, 4) and scores (images, boxes, labels) as a head of the layout has them."""
    boxes, scores = torch.as_tensor(boxes), torch.as_tensor(scores)
    sizes = boxes[..., 2:] - boxes[..., :2]
    centred = torch.cat([boxes[..., :2] + sizes / 2, sizes], dim=2)
    if layout == "yolov8":
        return torch.cat([centred, scores], dim=2).transpose(1, 2)
    if layout == "yolov5":  # an objectness of a half, and scores that are twice as high
        return torch.cat([centred, torch.full_like(scores[..., :1], 0.5), scores * 2], dim=2)
    best, labels = scores.max(dim=2, keepdim=True)
    return torch.cat([boxes, best, labels.to(best)], dim=2)


def answers(output: Any, about: ModelMetadata, *, images: int, size: tuple[int, int] = (SIDE, SIDE)) -> list[Any]:
    reader = output_readers.output_reader(about)
    rows = reader.joined([reader.read(output, images=images)], images=images)
    found = by_task.output_writer(about).write(rows, [size] * images)
    return [json.loads(one)["detections"] if isinstance(one, bytes) else one for one in found]


def overlap(one: Any, other: Any) -> float:
    sides = [min(one[n + 2], other[n + 2]) - max(one[n], other[n]) for n in (0, 1)]
    shared = max(0.0, sides[0]) * max(0.0, sides[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(shared / (sum(areas) - shared)) if shared else 0.0


def suppressed(boxes: Any, scores: Any, limit: float) -> list[tuple[str, float, list[float]]]:
    """Return what is to be found: label, score and box, best first."""
    kept: list[Any] = []
    for index in np.argsort(-scores.max(axis=1), kind="stable"):
        label, score = int(scores[index].argmax()), float(scores[index].max())
        if score >= THRESHOLD and all(label != other or overlap(boxes[index], box) <= limit for other, _, box in kept):
            kept.append((label, score, boxes[index].tolist()))
    return [(LABELS[label], score, box) for label, score, box in kept]


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 40),
    layout=st.sampled_from(["yolov5", "yolov8"]),
    limit=st.sampled_from([0.0, 0.3, 0.45, 1.0]),
)
def test_boxes_of_one_class_do_not_overlap_and_none_is_lost(seed: int, count: int, layout: str, limit: float) -> None:
    random = np.random.default_rng(seed)
    corners = random.integers(0, SIDE - 12, (2, count, 2))
    sizes = random.integers(4, 13, (2, count, 2))
    boxes = np.concatenate([corners, corners + sizes], axis=2).astype(np.float32)
    # Different hundredths: which of two equal scores counts more is open.
    scores = (random.permutation(2 * count * 3).reshape(2, count, 3) / max(1, 2 * count * 3)).astype(np.float32)
    about = metadata(layout, iou_threshold=limit)
    found = answers(heads(boxes, scores, layout), about, images=2)
    for image in range(2):
        expected = suppressed(boxes[image], scores[image], limit)
        assert [one["label"] for one in found[image]] == [label for label, _, _ in expected]
        assert [one["score"] for one in found[image]] == pytest.approx([score for _, score, _ in expected], abs=1e-5)
        for one, (_, _, box) in zip(found[image], expected, strict=True):
            assert one["box"] == pytest.approx(box, abs=0.01)


def test_a_head_without_overlaps_is_taken_as_it_is() -> None:
    boxes = np.array([[[0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 40]]], np.float32)
    scores = np.array([[[0.9, 0, 0], [0.8, 0, 0], [0, 0, 0.1]]], np.float32)
    [found] = answers(heads(boxes, scores, "yolov10"), metadata("yolov10"), images=1)
    assert [(one["label"], one["box"]) for one in found] == [("cat", [0, 0, 10, 10]), ("cat", [1, 1, 11, 11])]


@pytest.mark.parametrize("layout", ["yolov5", "yolov8", "yolov10"])
def test_boxes_are_in_the_pictures_pixels_without_its_border(layout: str) -> None:
    """Of a picture of 640x320 the input has the upper 32 rows."""
    boxes = np.array([[[8, 8, 24, 40], [4, 40, 20, 60]]], np.float32)
    scores = np.array([[[0, 0.9, 0], [0.9, 0, 0]]], np.float32)
    [found] = answers(heads(boxes, scores, layout), metadata(layout), images=1, size=(640, 320))
    assert found == [{"label": "dog", "score": pytest.approx(0.9), "box": [80, 80, 240, 320]}]


@pytest.mark.parametrize(
    ("layout", "shape", "words"),
    [
        ("yolov8", (2, 9, 7), r"shape \[2, 9, 7\]; raw_boxes yolov8 is \(images, 7, boxes\): 4 and 3 labels"),
        ("yolov5", (2, 9, 7), r"raw_boxes yolov5 is \(images, boxes, 8\): 5 and 3 labels"),
        ("yolov10", (2, 9, 7), r"raw_boxes yolov10 is \(images, boxes, 6\)"),
        ("yolov8", (2, 7), r"shape \[2, 7\]"),
        ("yolov8", (3, 7, 9), "answers 2 images in the shape"),
    ],
)
def test_an_output_of_another_shape_is_refused(layout: str, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        output_readers.output_reader(metadata(layout)).read(torch.zeros(shape), images=2)


def test_of_several_heads_the_one_that_is_named_counts() -> None:
    boxes, scores = np.zeros((1, 2, 4), np.float32), np.zeros((1, 2, 3), np.float32)
    output = {"features": torch.zeros(1, 5), "raw": heads(boxes, scores, "yolov8")}
    assert answers(output, metadata("yolov8", output="raw"), images=1) == [[]]
    with pytest.raises(ModelError, match=r"2 outputs, 'features' .*, 'raw' .*: say which counts with `output`"):
        answers(output, metadata("yolov8"), images=1)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ((0, 1, 0), np.nan, "not finite"),
        ((0, 1, 2), np.inf, "not finite"),
        ((1, 1, 0), 7.5, r"from 0 to 1, and are from 0 to 7.5: does the graph end before its sigmoid"),
        ((1, 1, 1), -3.0, r"from -3 to"),
    ],
)
def test_a_bad_image_fails_alone(place: tuple[int, int, int], value: float, words: str) -> None:
    boxes, scores = np.full((2, 2, 4), 9, np.float32), np.zeros((2, 2, 3), np.float32)
    if place[0]:
        scores[1, :] = min(value, 0)
    (boxes, scores)[place[0]][place] = value
    found = answers(heads(boxes, scores, "yolov8"), metadata("yolov8"), images=2)
    bad = next(one for one in found if isinstance(one, ModelError))
    assert [one for one in found if one is not bad] == [[]]
    with pytest.raises(ModelError, match=words):
        raise bad


def test_what_means_nothing_is_warned_of() -> None:
    assert metadata("yolov8", iou_threshold=0.5).warnings == ()
    assert "iou_threshold means nothing" in metadata("yolov10", iou_threshold=0.5).warnings[0]
    about = {"image": {"crop_size": 8}, "labels": LABELS, "raw_boxes": "yolov8"}
    assert "raw_boxes means nothing for the task classification" in ModelMetadata.from_metadata(about).warnings[0]
