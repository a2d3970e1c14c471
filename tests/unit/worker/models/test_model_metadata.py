"""What a version's metadata and tags say, and what is refused."""

from typing import Any

import pytest

from worker.models.errors import ModelError
from worker.models.model_metadata import Decode, ModelMetadata, Precision

IMAGE = {"crop_size": 8}
METADATA: dict[str, Any] = {"image": IMAGE, "labels": ["a", "b"]}


def test_labels_may_repeat() -> None:
    contract = ModelMetadata.from_metadata({"image": IMAGE, "labels": ["a", "a", "b"]})
    assert contract.labels == ("a", "a", "b")
    assert contract.top_k == 3


@pytest.mark.parametrize(
    ("classes", "asked", "top_k"), [(3, None, 3), (100, None, 100), (101, None, 5), (3, 2, 2), (3, 50, 3), (1000, 7, 7)]
)
def test_top_k_is_all_of_up_to_a_hundred_classes_else_five(classes: int, asked: int | None, top_k: int) -> None:
    metadata = {"image": IMAGE, "labels": [str(n) for n in range(classes)], "top_k": asked}
    assert ModelMetadata.from_metadata(metadata).top_k == top_k


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (None, "no image and no labels"),
        ({"labels": ["a"]}, "no image"),
        ({"image": IMAGE}, "no labels"),
        ({"image": IMAGE, "labels": ["a", "b"], "top_k": -1}, "top_k"),
        ({"image": IMAGE, "labels": ["a", "b"], "top_k": "many"}, "top_k"),
        ({"image": IMAGE, "labels": ["a", "b"], "activation": "sigmoid"}, "activation"),
        ({"image": {"crop_size": 0}, "labels": ["a", "b"]}, "the metadata's image: crop_size"),
        ({"image": "large", "labels": ["a", "b"]}, "the metadata's image"),
        ({"image": IMAGE, "labels": 10}, "labels"),
        ({"image": IMAGE, "labels": "cat"}, "labels"),
    ],
)
def test_invalid_metadata_is_refused_with_the_reason(metadata: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        ModelMetadata.from_metadata(metadata)


@pytest.mark.parametrize(
    ("metadata", "tags", "decode", "precision"),
    [
        ({}, {}, Decode.AUTO, Precision.AUTO),
        ({"decode": "exact", "precision": "bf16"}, {}, Decode.EXACT, Precision.BF16),
        ({"decode": None}, {}, Decode.AUTO, Precision.AUTO),
        ({"decode": "exact"}, {"darkroom.decode": "fast"}, Decode.FAST, Precision.AUTO),
        ({"precision": "fp16"}, {"darkroom.precision": "auto"}, Decode.AUTO, Precision.AUTO),
        ({"precision": "fp8"}, {"darkroom.precision": "tf32"}, Decode.AUTO, Precision.TF32),
        ({}, {"decode": "fast", "darkroom.owner": "me"}, Decode.AUTO, Precision.AUTO),
    ],
)
def test_what_a_version_may_lose_is_in_its_metadata_and_a_tag_overrides_that(
    metadata: dict[str, Any], tags: dict[str, str], decode: Decode, precision: Precision
) -> None:
    found = ModelMetadata.from_metadata(METADATA | metadata, tags)
    assert (found.decode, found.precision) == (decode, precision)


@pytest.mark.parametrize(
    ("metadata", "tags", "words"),
    [
        ({"decode": "quick"}, {}, "the metadata's decode must be auto, exact or fast, not 'quick'"),
        ({"decode": True}, {}, "the metadata's decode must be auto, exact or fast, not True"),
        ({"precision": ["fp16"]}, {}, "the metadata's precision must be auto, fp32, tf32, bf16 or fp16"),
        ({}, {"darkroom.decode": ""}, "the tag darkroom.decode must be auto, exact or fast, not ''"),
        (
            {"precision": "fp32"},
            {"darkroom.precision": "half"},
            "the tag darkroom.precision must be auto, fp32, tf32, bf16 or fp16, not 'half'",
        ),
    ],
)
def test_any_other_value_is_refused_with_those_that_there_are(
    metadata: dict[str, Any], tags: dict[str, str], words: str
) -> None:
    with pytest.raises(ModelError) as refused:
        ModelMetadata.from_metadata(METADATA | metadata, tags)
    assert str(refused.value).startswith(words)
