"""A model's output in whatever form it comes becomes one row an image, in order; several heads need a name."""

import warnings
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

from tests.support.deferred_imports import deferred
from worker.models.errors import ModelError
from worker.models.metadata.metadata_values import heads
from worker.models.metadata.model_metadata import ModelMetadata

torch = deferred("torch")
pandas = deferred("pandas")
output_readers = deferred("worker.models.outputs.readers")
rows = deferred("worker.models.outputs.rows")
scores = deferred("worker.models.outputs.scores")
pytestmark = pytest.mark.xdist_group("torch")  # one process imports torch

IMAGES = 3
Named = namedtuple("Named", ["mask", "score"])  # noqa: PYI024  as torch's own outputs are


def objects() -> list[dict[str, int]]:
    return [{"n": number} for number in range(IMAGES)]


def plain(found: Any) -> Any:
    """Return rows with lists in place of arrays."""
    if isinstance(found, dict):
        return {name: plain(value) for name, value in found.items()}
    return found.tolist() if hasattr(found, "tolist") else found


@pytest.mark.parametrize(
    ("make", "output", "expected"),
    [
        (objects, None, objects()),
        (lambda: np.array(objects(), dtype=object), None, objects()),
        (lambda: pandas.DataFrame(objects()), None, objects()),
        (lambda: pandas.Series(objects()), None, objects()),
        (lambda: pandas.DataFrame(objects()), "n", [0, 1, 2]),
        (lambda: {"a": torch.arange(3), "b": ["x", "y", "z"]}, None, [{"a": n, "b": "xyz"[n]} for n in range(3)]),
        (lambda: {"a": torch.arange(3), "b": ["x", "y", "z"]}, "b", ["x", "y", "z"]),
        (lambda: {"a": torch.arange(3), "b": torch.arange(6)}, {"c": "a"}, [{"c": n} for n in range(3)]),
        (lambda: (torch.arange(3), torch.arange(6).view(3, 2)), [1], [{"1": [2 * n, 2 * n + 1]} for n in range(3)]),
        (lambda: (torch.arange(3), torch.arange(6).view(3, 2)), 0, [0, 1, 2]),
        (lambda: Named(torch.arange(3), torch.arange(3) / 2), None, [{"mask": n, "score": n / 2} for n in range(3)]),
        (lambda: (torch.arange(3),), None, [0, 1, 2]),
        (lambda: ({"a": torch.arange(3)},), None, [{"a": n} for n in range(3)]),
        (lambda: ({}, objects()), None, objects()),  # torchvision's detectors as TorchScript
        (lambda: [{"a": torch.tensor([n])} for n in range(3)], {"b": "a"}, [{"b": [n]} for n in range(3)]),
        (lambda: torch.arange(3).to(torch.bfloat16), None, [0.0, 1.0, 2.0]),
    ],
)
def test_row_i_is_image_i(make: Any, output: Any, expected: Any) -> None:
    found = rows.rows_of(make(), images=IMAGES, heads=None if output is None else heads(output))
    assert [plain(row) for row in found] == expected


@pytest.mark.parametrize(
    ("make", "output", "words"),
    [
        (lambda: objects()[:2], None, "3 images with a list of 2"),
        (lambda: {"a": torch.arange(2)}, None, r"3 images with \[2\]"),
        (lambda: {"a": 1}, None, "3 images with int"),
        (lambda: "text", None, "3 images with str"),
        (lambda: (torch.arange(3), torch.arange(3)), None, r"2 outputs, 0 \[3\], 1 \[3\]: say which"),
        (lambda: {"a": torch.arange(3)}, "b", "`output` is 'b', and the model has 'a'"),
        (lambda: torch.arange(3), 1, "`output` is 1, and the model has one output"),
        (dict, None, "an empty dict"),
    ],
)
def test_what_is_not_one_thing_an_image_is_refused(make: Any, output: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        rows.rows_of(make(), images=IMAGES, heads=None if output is None else heads(output))


def test_several_heads_of_a_regression_stand_beside_each_other() -> None:
    output = {
        "age": torch.tensor([1.0, 2.0, 3.0]),
        "size": torch.tensor([[4.0], [5.0], [6.0]]),
        "other": torch.zeros(1),
    }
    found = scores.checked_scores(output, images=3, heads=heads({"size": "size", "age": "age"}))
    assert found.tolist() == [[4, 1], [5, 2], [6, 3]]


def masks(output: Any, **metadata: Any) -> Any:
    metadata = {"image": {"crop_size": 2}, "labels": ["a", "b"], "task": "segmentation"} | metadata
    reader = output_readers.output_reader(ModelMetadata.from_metadata(metadata))
    return reader.joined([reader.read(output, images=2)], images=2)


def test_masks_are_the_best_class_of_each_pixel() -> None:
    logits = torch.zeros(2, 2, 2, 2)
    logits[0, 1, 0, 0] = logits[1, 1, 1, 1] = 1
    expected = [[[1, 0], [0, 0]], [[0, 0], [0, 1]]]
    for output in (logits, {"out": logits, "aux": logits + 1}, logits.argmax(dim=1), logits[:, 1:] * 2 - 1):
        assert [plain(mask) for mask in masks(output)] == expected
    assert plain(masks(logits[:, 1:] * 0.4, activation="none")[0]) == [[0, 0], [0, 0]]
    assert plain(masks(logits[:, 1:] * 0.4, activation="none", threshold=0.3)[0]) == expected[0]


def test_a_mask_that_is_not_finite_fails_one_image() -> None:
    logits = torch.zeros(2, 2, 2, 2)
    logits[1, 0, 0, 0] = torch.nan
    good, bad = masks(logits)
    assert plain(good) == [[0, 0], [0, 0]]
    assert isinstance(bad, ModelError)


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 2), (2, 2, 2, 2, 2)])
def test_masks_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="in the shape"):
        masks(torch.zeros(shape))


def test_classes_of_pixels_are_bytes() -> None:
    with pytest.raises(ModelError, match=r"outside 0\.\.254"):
        masks(torch.full((2, 2, 2), 255))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
@pytest.mark.parametrize("overflown", [np.inf, -np.inf, np.nan])
def test_a_score_that_overflows_in_half_precision_gives_no_class(activation: str, overflown: float) -> None:
    answered = torch.tensor([[1.0, 2.0], [3.0, overflown], [2.0, 1.0]], dtype=torch.float16)
    reader = output_readers.ScoresReader(activation=output_readers.Activation(activation))
    found = reader.joined([reader.read(answered, images=3)], images=3)
    assert np.isfinite(found[[0, 2]]).all()
    if activation == "softmax" and overflown == -np.inf:
        assert found[1].tolist() == [1, 0]  # the lowest score there can be is none of the best
    else:
        assert not np.isfinite(found[1]).all()


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(lambda rows: rows[:, ::-1], id="labels reversed"),
        pytest.param(lambda rows: rows[::-1], id="rows reversed"),
        pytest.param(lambda rows: rows.astype(">f4"), id="big-endian"),
        pytest.param(lambda rows: rows.astype(np.longdouble), id="above 64 bits"),
        pytest.param(lambda rows: rows.astype(np.float16), id="half precision"),
        pytest.param(np.asfortranarray, id="columns first"),
        pytest.param(lambda rows: np.broadcast_to(rows[:1], rows.shape), id="one row for all"),
        pytest.param(lambda rows: rows.tolist(), id="lists"),
    ],
)
def test_scores_are_read_from_every_array_of_numpy(kind: Any, images: int) -> None:
    scores = kind(np.arange(images * 2, dtype=np.float32).reshape(images, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's of an array that is read-only; nothing writes to it
        found = output_readers.ScoresReader().read(scores, images=images)
    np.testing.assert_array_equal(found.numpy(), np.asarray(scores, dtype=np.float64))
