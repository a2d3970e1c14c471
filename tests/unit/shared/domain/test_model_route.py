import hashlib

import pytest

from shared.domain.errors import UnknownModel
from shared.domain.identifiers import Digest, ModelName, VersionKey, VersionNumber
from shared.domain.model_reference import Reference
from shared.domain.model_route import Route, Version


def route(**changes: object) -> Route:
    at = "2026-01-01T00:00:00Z"
    numbers = [VersionNumber(n) for n in "123"]
    versions = {n: Version(number=n, key=VersionKey(f"{n}-abc"), created_at=at) for n in numbers}
    fields: dict[str, object] = {
        "model": ModelName("digits"),
        "description": "",
        "aliases": {"champion": VersionNumber("2"), "challenger": VersionNumber("3")},
        "versions": versions,
        **changes,
    }
    return Route(**fields)  # type: ignore[arg-type]


def digest(number: int) -> Digest:
    return Digest(hashlib.sha256(str(number).encode()).hexdigest())


def test_the_champion_serves_where_no_version_is_named() -> None:
    choice = route().choose(Reference.parse_model("digits"), digest=digest(1))
    assert (choice.version, choice.key, choice.variant) == ("2", "2-abc", "champion")


def test_the_challenger_gets_its_share_and_an_image_always_the_same_version() -> None:
    split = route(challenger_percent=30)
    drawn = [split.choose(Reference.parse_model("digits"), digest=digest(n)).variant for n in range(2000)]
    again = [split.choose(Reference.parse_model("digits"), digest=digest(n)).variant for n in range(2000)]
    assert drawn == again
    assert 0.25 < drawn.count("challenger") / len(drawn) < 0.35


def test_a_version_can_be_asked_for_by_its_number() -> None:
    assert route().choose(Reference.parse_model("digits:1"), digest=digest(1)).key == "1-abc"


def test_latest_is_the_newest_version_that_did_not_fail_to_load() -> None:
    at = "2026-01-01T00:00:00Z"
    versions = {
        n: Version(number=n, key=VersionKey(f"{n}-abc"), created_at=at) for n in map(VersionNumber, ("9", "10"))
    }
    latest = Reference.parse_model("models:/digits/latest")
    choice = route(versions=versions).choose(latest, digest=digest(1))
    assert (choice.version, choice.variant) == ("10", "latest")
    failed = {VersionNumber("10"): "ModelError: no labels"}
    assert route(versions=versions, failed=failed).choose(latest, digest=digest(1)).version == "9"
    with pytest.raises(UnknownModel):
        route(versions={}).choose(latest, digest=digest(1))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("digits:3", "version 3 can't be loaded: ModelError: no labels"),
        ("digits@challenger", "version 3 can't be loaded: ModelError: no labels"),
        ("digits@staging", "only the aliases champion, challenger, shadow serve; name another version by its number"),
        ("digits:9", ""),
    ],
)
def test_the_error_for_an_unserved_reference_says_why_it_is_not_served(text: str, why: str) -> None:
    aliases = {"champion": VersionNumber("2")}
    broken = route(aliases=aliases, failed={VersionNumber("3"): "ModelError: no labels"})
    with pytest.raises(UnknownModel) as caught:
        broken.choose(Reference.parse_model(text), digest=digest(1))
    assert caught.value.reason == why


@pytest.mark.parametrize("text", ["digits:9", "digits@shadow"])
def test_the_error_for_an_unserved_reference_lists_the_served_ones(text: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        route().choose(Reference.parse_model(text), digest=digest(1))
    assert "digits@champion" in caught.value.served


def test_a_shadow_takes_its_share_of_the_champions_images_and_an_image_always_or_never() -> None:
    aliases = {"champion": VersionNumber("2"), "challenger": VersionNumber("3"), "shadow": VersionNumber("3")}
    both = route(aliases=aliases, challenger_percent=50, shadow_percent=30)
    target = both.shadow_target()
    assert target is not None
    assert (target.champion, target.version, target.key) == ("2-abc", "3", "3-abc")
    bare = Reference.parse_model("digits")
    champions = [digest(n) for n in range(4000) if both.choose(bare, digest=digest(n)).variant == "champion"]
    assert 0.25 < sum(target.takes(one) for one in champions) / len(champions) < 0.35
    assert [target.takes(one) for one in champions] == [target.takes(one) for one in champions]


def test_without_a_share_or_beside_itself_a_shadow_predicts_nothing() -> None:
    aliases = {"champion": VersionNumber("2"), "shadow": VersionNumber("3")}
    assert route(aliases=aliases).shadow_target() is None
    assert route(shadow_percent=50).shadow_target() is None
    assert route(aliases={**aliases, "shadow": VersionNumber("2")}, shadow_percent=50).shadow_target() is None
