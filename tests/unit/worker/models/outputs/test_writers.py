"""The outputs of each task, written from what a model answers; one bad row fails one image."""

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.domain.large_masks import LARGEST_INLINE, LARGEST_WITH_MASK
from tests.support.deferred_imports import deferred
from worker.models.errors import ModelError
from worker.models.metadata.model_metadata import ModelMetadata
from worker.models.outputs.segmentation import LARGEST_MASK, UNSEEN
from worker.models.outputs.writer import LARGEST, Output, OutputWriter

by_task = deferred("worker.models.outputs.by_task")
pytestmark = pytest.mark.xdist_group("torch")  # one process imports torch


def writer(task: str, **metadata: Any) -> OutputWriter:
    about = ModelMetadata.from_metadata({"image": {"crop_size": 8}, "task": task} | metadata)
    made: OutputWriter = by_task.output_writer(about)
    return made


def read(output: Output) -> Any:
    assert isinstance(output, bytes), output
    return json.loads(output)


def floats(*rows: Any) -> "np.ndarray[Any, np.dtype[np.float32]]":
    return np.array(rows, np.float32)


def reason(output: Output) -> str:
    assert isinstance(output, ModelError)
    return str(output)


def test_multilabel_names_every_class_at_or_above_the_threshold() -> None:
    labels = ["cat", "dog", "owl", "cat"]
    outputs = writer("multilabel", labels=labels, top_k=2).write(floats([0.9, 0.5, 0.1, 0.7], [0.1, 0.2, 0.3, 0.4]))
    assert [read(output) for output in outputs] == [
        {"predicted_classes": ["cat (0)", "cat (3)", "dog"], "scores": {"cat (0)": 0.9, "cat (3)": 0.7}},
        {"predicted_classes": [], "scores": {"cat (3)": 0.4, "owl": 0.3}},
    ]
    [low] = writer("multilabel", labels=labels, threshold=0.15).write(floats([0.1, 0.2, 0.3, 0.4]))
    assert read(low)["predicted_classes"] == ["cat (3)", "owl", "dog"]


def test_regression_has_names_and_units() -> None:
    [output] = writer("regression", values=[["age", "years"], "score"]).write(floats([41.1, 0.25]))
    assert output == b'{"values":{"age":41.1,"score":0.25},"units":{"age":"years"}}'
    assert read(writer("regression").write(floats([7], [8]))[1]) == {"values": {"value": 8}}
    assert read(writer("regression").write(floats(7, 8))[1]) == {"values": {"value": 8}}
    assert read(writer("regression").write(floats([1, 2]))[0]) == {"values": {"value_0": 1, "value_1": 2}}
    heads = {"age": "a", "score": 1}
    assert read(writer("regression", output=heads).write(floats([1, 2]))[0]) == {"values": {"age": 1, "score": 2}}
    units = [["score", "points"], ["age", "years"]]
    [mixed] = writer("regression", output=heads, values=units).write(floats([1, 2]))
    assert read(mixed) == {"values": {"age": 1, "score": 2}, "units": {"score": "points", "age": "years"}}
    with pytest.raises(ModelError, match="3 values an image and has 2 names"):
        writer("regression", values=["a", "b"]).write(floats([1, 2, 3]))


def test_an_embedding_is_a_list_or_base64_and_may_have_length_one() -> None:
    vectors = floats([3, 4, 0.1], [0, 0, 0])
    assert writer("embedding").write(vectors)[0] == b'{"dimensions":3,"embedding":[3.0,4.0,0.1]}'
    packed = read(writer("embedding", encoding="base64").write(vectors)[0])
    assert packed["dimensions"] == 3
    assert np.frombuffer(base64.b64decode(packed["embedding_base64"]), "<f4").tolist() == vectors[0].tolist()
    first, zeros = writer("embedding", normalize=True).write(vectors)
    assert np.linalg.norm(read(first)["embedding"]) == pytest.approx(1)
    assert read(zeros)["embedding"] == [0, 0, 0]
    assert read(writer("embedding").write(vectors.reshape(2, 3, 1, 1))[0])["dimensions"] == 3
    with pytest.raises(ModelError, match="shape \\[2, 3, 5\\], not \\(images, dimensions\\)"):
        writer("embedding").write(np.zeros((2, 3, 5), np.float32))


@pytest.mark.parametrize(
    ("task", "metadata"),
    [("multilabel", {"labels": ["a", "b"]}), ("regression", {}), ("embedding", {}), ("embedding", {"normalize": True})],
)
def test_a_row_that_is_not_finite_fails_alone(task: str, metadata: dict[str, Any]) -> None:
    rows = floats([0.5, 0.25], [np.nan, 0.5], [0.75, np.inf], [0.1, 0.2])
    outputs = writer(task, **metadata).write(rows)
    assert [type(output) for output in outputs] == [bytes, ModelError, ModelError, bytes]
    assert [outputs[0], outputs[3]] == writer(task, **metadata).write(rows[[0, 3]])


def detector(**metadata: Any) -> OutputWriter:
    labels = ["nothing", "cat", "dog"]
    return writer("detection", image={"resize_size": [40], "crop_size": [40]}, labels=labels, **metadata)


def detections(*found: tuple[list[float], int, float]) -> dict[str, Any]:
    """Return a row as torchvision's detectors answer."""
    return {
        "boxes": floats(*(box for box, _, _ in found)).reshape(-1, 4),
        "labels": np.array([label for _, label, _ in found], np.int64),
        "scores": floats(*(score for _, _, score in found)),
    }


def test_detections_are_in_the_pictures_pixels_best_first_above_the_threshold() -> None:
    # Of 200x100 the input is the centre 100x100 at 0.4 of its size.
    row = detections(([0, 0, 20, 40], 1, 0.75), ([10, 10, 50, 20], 2, 0.9), ([1, 1, 2, 2], 1, 0.25))
    none = detections()
    first, last = detector().write([row, none], [(200, 100), (10, 10)])
    assert read(first) == {
        "detections": [
            {"label": "dog", "score": 0.9, "box": [75.0, 25.0, 175.0, 50.0]},
            {"label": "cat", "score": 0.75, "box": [50.0, 0.0, 100.0, 100.0]},
        ]
    }
    assert read(last) == {"detections": []}
    [one] = detector(max_detections=1).write([row], [(200, 100)])
    assert [found["label"] for found in read(one)["detections"]] == ["dog"]
    [all_of_them] = detector(threshold=0.2).write([row], [(200, 100)])
    assert len(read(all_of_them)["detections"]) == 3


def test_boxes_outside_the_picture_are_clipped_or_left_out() -> None:
    row = detections(([-10, -10, 10, 10], 1, 0.9), ([0, -20, 40, -5], 1, 0.8))
    [output] = detector().write([row], [(40, 40)])
    assert [found["box"] for found in read(output)["detections"]] == [[0, 0, 10, 10]]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (detections(([0, 0, 1, np.nan], 1, 0.9)), "not finite"),
        (detections(([0, 0, 1, 1], 7, 0.9)), "class 7 and has 3 labels"),
        (detections(([0, 0, 1, 1], 1, 0.9)) | {"labels": np.array([1, 1])}, "boxes \\[1, 4\\], labels \\[2\\]"),
        ({"boxes": floats([0, 0, 1, 1]), "labels": np.array([1])}, "boxes, labels an image and no scores"),
        ("a cat", "with str an image, not with boxes, labels and scores$"),
        (
            floats([0, 0, 1, 1]),
            r"with \[1, 4\] an image, .*: if it is a raw head, as YOLO's, say which with `raw_boxes`",
        ),
    ],
)
def test_a_bad_detection_fails_one_image(row: Any, words: str) -> None:
    good = detections(([0, 0, 20, 40], 1, 0.75))
    first, failed, last = detector().write([good, row, good], [(40, 40)] * 3)
    assert first == last == detector().write([good], [(40, 40)])[0]
    with pytest.raises(ModelError, match=words):
        raise failed if isinstance(failed, ModelError) else AssertionError(failed)


def test_other_forms_of_detections_are_read() -> None:
    by_class = {"boxes": floats([0, 0, 20, 40]), "scores": floats([0.1, 0.0, 0.75])}
    [one] = detector().write([by_class], [(40, 40)])
    assert read(one) == {"detections": [{"label": "dog", "score": 0.75, "box": [0, 0, 20, 40]}]}
    # transformers' DETR: centre and size from 0 to 1, and a last class for no object.
    relative = {"logits": floats([0, 0, 9, 0], [0, 0, 0, 9]), "pred_boxes": floats([0.5, 0.5, 0.5, 0.25], [0, 0, 1, 1])}
    [two] = detector().write([relative], [(80, 80)])
    assert read(two)["detections"][0]["box"] == [20, 30, 60, 50]
    assert len(read(two)["detections"]) == 1


def segmenter(labels: int = 3, **image: Any) -> OutputWriter:
    return writer("segmentation", image=image or {"crop_size": 8}, labels=[f"class {n}" for n in range(labels)])


def mask_of(output: Output) -> Any:
    found = read(output)
    image = Image.open(io.BytesIO(base64.b64decode(found["mask"])))
    assert (image.mode, image.size) == ("P", (found["width"], found["height"]))
    return np.asarray(image)


def test_a_mask_has_the_pictures_size_and_classes_their_shares() -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = 2
    mask[0, 7] = 1
    [output] = segmenter(resize_size=[8, 8]).write([mask], [(80, 40)])
    found = mask_of(output)
    assert found.shape == (40, 80)
    assert np.array_equal(found, mask.repeat(5, axis=0).repeat(10, axis=1))
    assert read(output)["classes"] == [
        {"label": "class 0", "index": 0, "share": 0.5},
        {"label": "class 2", "index": 2, "share": pytest.approx(31 / 64)},
        {"label": "class 1", "index": 1, "share": pytest.approx(1 / 64)},
    ]


def test_what_the_crop_left_out_is_unseen_and_no_class() -> None:
    # A mask of half the input's size, as many models answer.
    [output] = segmenter(resize_size=[8], crop_size=[8]).write([np.ones((4, 4), np.uint8)], [(24, 16)])
    found = mask_of(output)
    assert (found[:, 4:20] == 1).all()
    assert (found[:, :4] == UNSEEN).all()
    assert (found[:, 20:] == UNSEEN).all()
    assert read(output)["classes"] == [{"label": "class 1", "index": 1, "share": 1.0}]


def test_the_mask_of_a_large_picture_has_the_models_size() -> None:
    side = int(LARGEST_MASK**0.5)
    small, large = segmenter().write([np.zeros((8, 8), np.uint8)] * 2, [(side, side), (side + 1, side)])
    assert (read(small)["width"], read(large)["width"]) == (side, 8)


def test_a_mask_whose_classes_are_random_is_written_whole() -> None:
    side = int(LARGEST_MASK**0.5)
    noise = np.random.default_rng(0).integers(0, 250, (side, side), np.uint8)
    whole = segmenter(labels=250, crop_size=side, resize_size=[side, side])
    [output] = whole.write([noise], [(side, side)])
    assert np.array_equal(mask_of(output), noise)
    assert LARGEST_INLINE < len(output) < LARGEST_WITH_MASK
    assert LARGEST == LARGEST_INLINE


def test_a_bad_mask_fails_one_image() -> None:
    good = np.zeros((8, 8), np.uint8)
    outputs = segmenter().write([good, good + 9, ModelError("not finite"), good], [(8, 8)] * 4)
    assert outputs[0] == outputs[3]
    assert "class 9 and has 3 labels" in reason(outputs[1])
    assert "not finite" in reason(outputs[2])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"x": float("nan")}, "not finite"),
        ({"x": [None, {"y": float("inf")}]}, "not finite"),
        ({"x": np.array([1.0, np.nan])}, "not finite"),
        ({"x": object()}, "what JSON can't hold"),
        ({"x": b"bytes"}, "what JSON can't hold"),
        ({"x": "\ud800"}, "what JSON can't hold"),
        ({"x": "a\0b"}, "NUL"),
        ({"x": 2**70}, "what JSON can't hold"),
        ({"x": "y" * 100}, "over the limit of 64"),
        ([1, 2], "with list, not with an object"),
        (None, "with NoneType, not with an object"),
        ("text", "with str, not with an object"),
    ],
)
def test_a_bad_object_fails_one_image(row: Any, words: str) -> None:
    good = {"plate": "ABC", "count": np.int64(3), "box": np.array([1, 2]), "none": None}
    first, failed, last = writer("json", max_bytes=64).write([good, row, good])
    assert first == last == b'{"plate":"ABC","count":3,"box":[1,2],"none":null}'
    assert words in reason(failed)
