import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.errors import InvalidParameter
from shared.domain.identifiers import VersionNumber
from shared.domain.model_reference import REFERENCE_PATTERN, Reference


@pytest.mark.parametrize(
    ("text", "name", "alias", "version"),
    [
        ("digits", "digits", None, None),
        ("darkroom/digits", "digits", None, None),
        ("digits@challenger", "digits", "challenger", None),
        ("darkroom/digits:3", "digits", None, "3"),
        ("darkroom/digits:digits:3", "digits", None, "3"),
        ("digits:latest", "digits", None, "latest"),
        ("digits@latest", "digits", None, "latest"),
        ("models:/digits", "digits", None, None),
        ("models:/digits/3", "digits", None, "3"),
        ("models:/digits/latest", "digits", None, "latest"),
        ("models:/digits@challenger", "digits", "challenger", None),
    ],
)
def test_every_documented_form_of_a_model_reference_is_parsed(
    text: str, name: str, alias: str | None, version: str | None
) -> None:
    reference = Reference.parse_model(text)
    assert (reference.name, reference.alias, reference.version) == (name, alias, version)


@pytest.mark.parametrize("text", ["", "owner/", "@champion", "digits@", "digits:", ":3", "models:/", "models:/digits/"])
def test_a_reference_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        Reference.parse_model(text)


def test_a_bare_version_has_no_name() -> None:
    assert Reference.parse_version("3") == Reference(name=None, version=VersionNumber("3"))
    assert Reference.parse_version("latest") == Reference(name=None, version=VersionNumber("latest"))
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
def test_two_references_are_merged_unless_they_contradict(model: str, version: str, both: str | None) -> None:
    joined = Reference.parse_model(model).joined(Reference.parse_version(version))
    assert (joined and str(joined)) == both


@settings(max_examples=40)
@given(st.from_regex(REFERENCE_PATTERN, fullmatch=True))
@example("")
def test_every_reference_that_the_document_allows_is_parsed(text: str) -> None:
    if text:
        assert Reference.parse_model(text).name
