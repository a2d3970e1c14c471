"""What a version's metadata and tags say, and what is refused."""

from typing import Any

import pytest

from shared.domain.task import Task
from worker.models.errors import ModelError
from worker.models.metadata.model_metadata import Activation, Decode, Encoding, ModelMetadata, Precision

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
        ({"image": IMAGE | {"mean": [123, 116, 103]}, "labels": ["a"]}, "the metadata's image: .*0..1, not 0..255"),
        ({"image": IMAGE, "labels": 10}, "labels"),
        ({"image": IMAGE, "labels": ["a", "b\0"]}, "the metadata's labels must have no NUL"),
        ({"image": IMAGE, "labels": ["a\udc80", "b"]}, "the metadata's labels must have no NUL and no half"),
        ({"image": IMAGE, "labels": "cat"}, "labels"),
        ({"image": IMAGE, "labels": ["a"], "task": "detect"}, "the metadata's task must be classification, .* or json"),
        ({"image": IMAGE, "labels": ["a"], "task": "multilabel", "activation": "softmax"}, "must be sigmoid or none"),
        ({"image": IMAGE, "labels": ["a"], "threshold": 50}, "the metadata's threshold must be a number from 0 to 1"),
        ({"image": IMAGE, "task": "regression", "values": [1]}, "the metadata's values must be"),
        ({"image": IMAGE, "task": "regression", "values": ["a", "a"]}, "the metadata's values must be"),
        (
            {"image": IMAGE, "task": "regression", "values": {"b": "m", "a": "s"}},
            r"the metadata's values must be a list, for the order of a mapping is not kept: \[\['b', 'm'\]",
        ),
        ({"image": IMAGE, "task": "embedding", "normalize": "yes"}, "must be true or false, not 'yes'"),
        ({"image": IMAGE, "task": "embedding", "encoding": "hex"}, "must be list or base64"),
        ({"image": IMAGE, "task": "json", "max_bytes": 2**30}, "max_bytes must be a positive whole number up to"),
        ({"image": IMAGE, "task": "json", "output": [1.5]}, "output must be a key, an index"),
        (METADATA | {"task": "detection", "raw_boxes": "yolo"}, "raw_boxes must be yolov5, yolov8 or yolov10, not"),
        (METADATA | {"task": "detection", "iou_threshold": 45}, "iou_threshold must be a number from 0 to 1"),
        (
            METADATA | {"task": "detection", "raw_boxes": "yolov8", "output": ["a", "b"]},
            "output must name one head where raw_boxes",
        ),
        ({"image": IMAGE, "lables": ["a"]}, "the metadata has 'lables': did you mean 'labels'?"),
        ({"image": IMAGE, "labels": ["a"], "Top-K": 3}, "did you mean 'top_k'?"),
        ({"image": IMAGE, "labels": ["a"], "darkroom.task": "json"}, "did you mean 'task'?"),
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


TAGGED = {"darkroom.image": '{"crop_size": 8}', "darkroom.labels": '["a", "b"]'}


def test_every_key_may_stand_in_a_tag_which_counts_more_than_the_metadata() -> None:
    assert ModelMetadata.from_metadata(None, TAGGED) == ModelMetadata.from_metadata(METADATA)
    metadata = METADATA | {"task": "detection", "labels": ["x"], "threshold": 0.9, "output": "boxes", "top_k": "bad"}
    tags = {"darkroom.task": "multilabel", "darkroom.threshold": "0.25", "darkroom.output": "2", "darkroom.top_k": "1"}
    found = ModelMetadata.from_metadata(metadata, tags | TAGGED)
    assert (found.task, found.labels, found.threshold, found.top_k) == (Task.MULTILABEL, ("a", "b"), 0.25, 1)
    assert found.output is not None
    assert found.output.only == 2
    assert found.activation is Activation.SIGMOID


def test_what_a_flavour_knows_counts_where_nothing_else_is_said() -> None:
    defaults = METADATA | {"task": "embedding", "normalize": True, "encoding": "base64"}
    found = ModelMetadata.from_metadata({"encoding": "list"}, {"darkroom.normalize": "false"}, defaults)
    assert (found.task, found.normalize, found.encoding) == (Task.EMBEDDING, False, Encoding.LIST)
    assert ModelMetadata.from_metadata(None, {}, defaults).options() == {"normalize": True, "encoding": "base64"}
    with pytest.raises(ModelError, match="the model's own top_k must be"):
        ModelMetadata.from_metadata(None, {}, METADATA | {"top_k": 0})


@pytest.mark.parametrize("task", [task for task in Task if not task.needs_labels])
def test_labels_are_asked_for_only_where_they_mean_something(task: Task) -> None:
    found = ModelMetadata.from_metadata({"image": IMAGE, "task": str(task)})
    assert (found.task, found.labels, found.activation) == (task, (), Activation.NONE)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"darkroom.top_k": "0"}, "the tag darkroom.top_k must be a positive whole number, not 0"),
        (
            {"darkroom.labels": "cat, dog"},
            "the tag darkroom.labels must be a list of at least one label, not 'cat, dog'",
        ),
        ({"darkroom.image": '{"crop": 8}'}, "the tag darkroom.image: unknown image metadata: crop: did you mean"),
        ({"darkroom.lables": "[]"}, "there is a tag 'darkroom.lables': did you mean 'darkroom.labels'?"),
    ],
)
def test_an_error_says_which_tag_is_wrong(tags: dict[str, str], words: str) -> None:
    with pytest.raises(ModelError) as refused:
        ModelMetadata.from_metadata(METADATA, tags)
    assert str(refused.value).startswith(words)


def test_a_regression_names_its_values_and_their_units() -> None:
    def values(said: Any) -> Any:
        return ModelMetadata.from_metadata({"image": IMAGE, "task": "regression", "values": said}).values

    assert values("age") == {"age": None}
    assert values(["age", "height"]) == {"age": None, "height": None}
    assert values({"age": "years"}) == {"age": "years"}
    assert [*values([["height", "cm"], "age"]).items()] == [("height", "cm"), ("age", None)]
    assert values(None) == {}


def test_what_is_probably_a_mistake_is_a_warning() -> None:
    tags = {"darkroom.owner": "me", "darkroom.max_wait": "5ms", "darkroom.max_detections": "7", "stage": "old"}
    found = ModelMetadata.from_metadata(METADATA | {"dataset": "pets", "threshold": 0.2}, tags)
    assert found.warnings == (
        "nothing reads the tag darkroom.owner",
        "the metadata's threshold means nothing for the task classification",
        "the tag darkroom.max_detections means nothing for the task classification",
    )
