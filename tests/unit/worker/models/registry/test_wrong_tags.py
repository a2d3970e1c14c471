"""Whatever somebody writes into a tag is refused in a short sentence, or taken: no reader of tags fails at it."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.canary import CANARY_TAG, Canary
from shared.domain.keep_rule import KEEP_IMAGES
from shared.domain.model_route import CHALLENGER_PERCENT, SHADOW_PERCENT
from shared.domain.task import Task
from tests.support.deferred_imports import deferred
from worker.models.errors import ModelError
from worker.models.metadata.model_metadata import CONTRACT_TAGS, ModelMetadata
from worker.models.registry import serving_tags

mover = deferred("worker.models.following.canary_mover")
snapshots = deferred("worker.models.registry.registry_snapshot")
pytestmark = pytest.mark.xdist_group("torch")

SHORT: Final = 700
METADATA: Final = {"image": {"crop_size": [8]}, "labels": ["a", "b"]}
AWFUL: Final = (
    *("", " ", "9" * 5000, "-" + "9" * 5000, "nan", "-inf", "1e400", "²", "٣", "\x00", "é" * 5000, "true", "null"),
    *("[" * 5000, '{"a":' * 3000, '["\\ud800"]', '{"crop_size": [8], "mean": [0, 0, ' + "9" * 400 + "]}"),
    *('{"crop_size": ' + "9" * 4000 + "}", '{"crop_size": [8], "std": [NaN, 1, 1]}', '{"' + "k" * 5000 + '": 1}'),
)
WORDS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(AWFUL)


def usual() -> Any:
    second = timedelta(seconds=1)
    return serving_tags.Tuning(max_batch_size=64, max_wait=second, beside_people=second, timeout=second)


def contract(tags: dict[str, str]) -> None:
    wrong = ""
    for task in Task:
        try:
            ModelMetadata.from_metadata({**METADATA, "task": str(task)}, tags)
        except ModelError as error:
            wrong = str(error)
    assert len(wrong) < SHORT


def canary(tags: dict[str, str]) -> None:
    with contextlib.suppress(ValueError):
        Canary.from_text(tags[CANARY_TAG])


def told(read: Callable[[dict[str, str]], object]) -> Callable[[dict[str, str]], None]:
    """Return a reader that checks the length of the sentences, which are the last of what another one returns."""

    def check(tags: dict[str, str]) -> None:
        *_, wrong = read(tags)  # type: ignore[misc]
        assert len(str(wrong)) < SHORT, wrong

    return check


READERS: Final[dict[str, Callable[[dict[str, str]], object]]] = {
    **dict.fromkeys(CONTRACT_TAGS, contract),
    CANARY_TAG: canary,
    CHALLENGER_PERCENT: told(serving_tags.read_challenger_share),
    SHADOW_PERCENT: told(serving_tags.read_shadow_share),
    "darkroom.max_error_percent": told(serving_tags.read_max_error_percent),
    KEEP_IMAGES: told(serving_tags.read_keep_rule),
    "darkroom.pipeline.pair": told(serving_tags.read_pipelines),
    **{
        f"darkroom.{name}": told(lambda tags: serving_tags.read_tuning(tags, usual=usual()))
        for name in ("max_batch_size", "max_wait", "beside_people", "timeout")
    },
}


@pytest.mark.parametrize("tag", sorted(READERS))
@settings(max_examples=20)
@given(text=WORDS)
def test_no_text_in_a_tag_makes_its_reader_fail(tag: str, text: str) -> None:
    READERS[tag]({tag: text})


for _text in AWFUL:
    test_no_text_in_a_tag_makes_its_reader_fail = example(text=_text)(test_no_text_in_a_tag_makes_its_reader_fail)


@settings(max_examples=20)
@given(text=WORDS)
def test_a_share_that_is_no_number_is_another_than_a_canary_has_set(text: str) -> None:
    found = mover.traffic_of(snapshots.RegistrySnapshot(tags={CHALLENGER_PERCENT: text}))
    assert found.percent in range(-1, 101)
