"""Scores become the JSON output."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.models.errors import ModelError
from worker.models.metadata.model_metadata import ModelMetadata
from worker.models.outputs.classification import ClassificationWriter, scores_to_json
from worker.models.outputs.labels import unique_labels

LABELS = ("cat", "dog", "owl")


def scores(*rows: list[float]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(rows, dtype=np.float32)


def test_classes_are_sorted_by_score_and_the_best_is_the_prediction() -> None:
    [output] = scores_to_json(scores([0.25, 0.7, 0.05]), labels=LABELS, top_k=3)
    assert json.loads(output) == {
        "predicted_class": "dog",
        "predicted_index": 1,
        "confidence": 0.7,
        "probabilities": {"dog": 0.7, "cat": 0.25, "owl": 0.05},
    }
    assert list(json.loads(output)["probabilities"]) == ["dog", "cat", "owl"]


def test_numbers_are_rounded_to_a_millionth() -> None:
    [output] = scores_to_json(scores([1 / 3, 2 / 3, 1e-9]), labels=LABELS, top_k=3)
    assert json.loads(output)["probabilities"] == {"dog": 0.666667, "cat": 0.333333, "owl": 0.0}


@pytest.mark.parametrize("classes", [2, 5, 10, 100, 1000])
@pytest.mark.parametrize("top_k", [1, 2, 5])
def test_the_top_k_are_the_first_k_of_all_sorted(classes: int, top_k: int) -> None:
    random = np.random.default_rng(classes)
    table = np.stack([random.permutation(classes) for _ in range(7)]).astype(np.float32)
    labels = tuple(f"label {index}" for index in range(classes))
    top_k = min(top_k, classes)
    whole = [json.loads(output) for output in scores_to_json(table, labels=labels, top_k=classes)]
    best = [json.loads(output) for output in scores_to_json(table, labels=labels, top_k=top_k)]
    for all_of_them, few in zip(whole, best, strict=True):
        assert list(few["probabilities"].items()) == list(all_of_them["probabilities"].items())[:top_k]
        assert (few["predicted_class"], few["confidence"]) == next(iter(few["probabilities"].items()))
        assert labels[few["predicted_index"]] == few["predicted_class"]


def test_each_row_has_its_own_output() -> None:
    outputs = scores_to_json(np.eye(3, dtype=np.float32)[[2, 0, 1, 0]], labels=LABELS, top_k=1)
    assert [json.loads(output)["predicted_class"] for output in outputs] == ["owl", "cat", "dog", "cat"]


def test_two_classes_with_the_same_label_differ_by_their_index() -> None:
    labels = ("crane", "dog", "crane")
    [output] = scores_to_json(scores([0.25, 0.05, 0.7]), labels=labels, top_k=3, names=unique_labels(labels))
    assert json.loads(output) == {
        "predicted_class": "crane",
        "predicted_index": 2,
        "confidence": 0.7,
        "probabilities": {"crane (2)": 0.7, "crane (0)": 0.25, "dog": 0.05},
    }


@given(st.lists(st.sampled_from(["a", "b", "a (0)", "a (0) (0)", "a (1)", "b (2)", ""]), max_size=9).map(tuple))
def test_labels_are_made_unique_and_unique_ones_are_kept(labels: tuple[str, ...]) -> None:
    names = unique_labels(labels)
    assert len(set(names)) == len(labels)
    for name, label in zip(names, labels, strict=True):
        assert name == label if labels.count(label) == 1 else name.startswith(f"{label} (")


def writer(top_k: int = 3) -> ClassificationWriter:
    metadata = {"image": {"crop_size": 8}, "labels": list(LABELS), "top_k": top_k}
    return ClassificationWriter(ModelMetadata.from_metadata(metadata))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_an_error_and_the_others_stay_as_they_are(bad: float) -> None:
    rows = scores([0.1, 0.2, 0.7], [0.1, bad, 0.7], [0.5, 0.3, 0.2])
    first, failed, last = writer().write(rows)
    assert isinstance(failed, ModelError)
    assert "not finite" in str(failed)
    assert [first, last] == writer().write(rows[[0, 2]])


def test_rows_of_large_numbers_are_finite() -> None:
    outputs = writer().write(np.full((3, 3), 3e38, np.float32))
    assert all(isinstance(output, bytes) for output in outputs)


@pytest.mark.parametrize("shape", [(2, 2), (2, 4), (2,), (2, 3, 1)])
def test_scores_that_do_not_match_the_labels_are_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="3 labels"):
        writer().write(np.zeros(shape, np.float32))
