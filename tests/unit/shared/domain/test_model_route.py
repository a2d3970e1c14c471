import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.errors import InvalidParameter, UnknownModel
from shared.domain.identifiers import Digest, ModelName, VersionKey, VersionNumber
from shared.domain.model_reference import REFERENCE_PATTERN, Reference
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


@pytest.mark.parametrize(
    ("text", "name", "alias", "version"),
    [
        ("digits", "digits", None, None),
        ("darkroom/digits", "digits", None, None),
        ("digits@challenger", "digits", "challenger", None),
        ("darkroom/digits:3", "digits", None, "3"),
        ("darkroom/digits:digits:3", "digits", None, "3"),
    ],
)
def test_a_model_is_named_in_every_form_of_the_contract(
    text: str, name: str, alias: str | None, version: str | None
) -> None:
    reference = Reference.parse_model(text)
    assert (reference.name, reference.alias, reference.version) == (name, alias, version)


@pytest.mark.parametrize("text", ["", "owner/", "@champion", "digits@", "digits:", ":3"])
def test_a_reference_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        Reference.parse_model(text)


def test_a_bare_version_has_no_name() -> None:
    assert Reference.parse_version("3") == Reference(name=None, version=VersionNumber("3"))
    assert Reference.parse_version("darkroom/digits:3").name == "digits"


@pytest.mark.parametrize(
    ("model", "version", "both"),
    [
        ("digits", "digits:3", "digits:3"),
        ("darkroom/digits", "3", "digits:3"),
        ("digits:3", "3", "digits:3"),
        ("digits", "any/digits@champion", "digits@champion"),
        ("digits@champion", "digits", "digits@champion"),
        ("digits@champion", "digits@champion", "digits@champion"),
        ("digits", "letters:3", None),
        ("digits:3", "4", None),
        ("digits@champion", "digits@shadow", None),
        ("digits@champion", "3", None),
    ],
)
def test_two_references_are_joined_unless_they_contradict(model: str, version: str, both: str | None) -> None:
    joined = Reference.parse_model(model).joined(Reference.parse_version(version))
    assert (joined and str(joined)) == both


@given(st.from_regex(REFERENCE_PATTERN, fullmatch=True))
@example("")
def test_every_reference_that_the_document_allows_is_parsed(text: str) -> None:
    if text:
        assert Reference.parse_model(text).name


def test_the_champion_serves_unless_told_otherwise() -> None:
    choice = route().choose(Reference.parse_model("digits"), digest=digest(1))
    assert (choice.version, choice.key, choice.variant) == ("2", "2-abc", "champion")


def test_the_challenger_gets_its_share_and_an_image_always_draws_the_same() -> None:
    split = route(challenger_percent=30)
    drawn = [split.choose(Reference.parse_model("digits"), digest=digest(n)).variant for n in range(2000)]
    again = [split.choose(Reference.parse_model("digits"), digest=digest(n)).variant for n in range(2000)]
    assert drawn == again
    assert 0.25 < drawn.count("challenger") / len(drawn) < 0.35


def test_a_version_is_served_by_its_number() -> None:
    assert route().choose(Reference.parse_model("digits:1"), digest=digest(1)).key == "1-abc"


@pytest.mark.parametrize("text", ["digits:9", "digits@shadow"])
def test_the_error_for_an_unserved_reference_lists_the_served_ones(text: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        route().choose(Reference.parse_model(text), digest=digest(1))
    assert "digits@champion" in caught.value.served
