"""Tags of a model or version change how it is served; a wrong value changes nothing and is told."""

from datetime import timedelta

import pytest

from shared.domain.keep_rule import NONE_KEPT, KeepRule
from tests.support.deferred_imports import deferred
from worker.models.metadata.model_metadata import OTHER_TAGS
from worker.models.registry.serving_tags import read_keep_rule

serving_tags = deferred("worker.models.registry.serving_tags")
pytestmark = pytest.mark.xdist_group("torch")


def usual() -> object:
    return serving_tags.Tuning(
        max_batch_size=64,
        max_wait=timedelta(0),
        beside_people=timedelta(milliseconds=2),
        timeout=timedelta(seconds=120),
    )


def test_tags_change_what_the_settings_say() -> None:
    tags = {
        "darkroom.max_batch_size": "8",
        "darkroom.max_wait": "12.5",
        "darkroom.beside_people": "20",
        "darkroom.timeout": "30",
    }
    tuning, warnings = serving_tags.read_tuning(tags, usual=usual())
    assert warnings == ()
    assert tuning == serving_tags.Tuning(
        max_batch_size=8,
        max_wait=timedelta(milliseconds=12.5),
        beside_people=timedelta(milliseconds=20),
        timeout=timedelta(seconds=30),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_batch_size", "0"),
        ("max_batch_size", "many"),
        ("max_batch_size", "5000"),
        ("max_wait", "-1"),
        ("max_wait", "nan"),
        ("max_wait", "inf"),
        ("beside_people", "10001"),
        ("timeout", "121"),
        ("timeout", ""),
    ],
)
def test_a_wrong_value_leaves_the_setting_and_is_told(name: str, value: str) -> None:
    tuning, [warning] = serving_tags.read_tuning({f"darkroom.{name}": value}, usual=usual())
    assert tuning == usual()
    assert warning.startswith(f"the tag darkroom.{name} must be ")
    assert repr(value) in warning


def test_no_tags_change_nothing() -> None:
    assert serving_tags.read_tuning({}, usual=usual()) == (usual(), ())


def test_the_rule_of_kept_pictures_is_read_from_its_tag() -> None:
    assert read_keep_rule({}) == (None, ())
    assert read_keep_rule({"darkroom.keep_images": "5%, disagree"}) == (KeepRule(share=0.05, disagree=True), ())
    assert read_keep_rule({"darkroom.keep_images": "off"}) == (NONE_KEPT, ())


def test_with_a_wrong_rule_no_pictures_are_kept() -> None:
    rule, [warning] = read_keep_rule({"darkroom.keep_images": "of"})
    assert rule == NONE_KEPT
    assert warning.startswith("the tag darkroom.keep_images must be off, all, or any of")
    assert warning.endswith("not 'of': no pictures are kept")


def test_the_tag_of_kept_pictures_is_known() -> None:
    assert "keep_images" in OTHER_TAGS
