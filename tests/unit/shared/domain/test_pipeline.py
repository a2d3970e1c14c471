"""Definitions of pipelines: what is accepted, what is refused and where, and their canonical form."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidParameter
from shared.domain.model_reference import Reference
from shared.domain.pipeline import Combination, OnError, parse_pipeline


def test_an_ensemble_has_equal_weights_and_fails_with_a_member_unless_it_says_otherwise() -> None:
    pipeline = parse_pipeline({"models": ["a", "darkroom/b@challenger"]})
    assert [str(member.reference) for member in pipeline.first.members] == ["a", "b@challenger"]
    assert [member.weight for member in pipeline.first.members] == [1, 1]
    assert (pipeline.first.combine, pipeline.on_error) == (Combination.AUTO, OnError.FAIL)
    assert pipeline.expression() == "a+b@challenger"


def test_a_chain_begins_with_the_model_of_the_request() -> None:
    then = {"model": "breeds", "when": {"class": ["dog"], "min_confidence": 0.5}, "crop": True}
    pipeline = parse_pipeline({"then": then}, first=Reference.parse_model("detector:3"))
    assert pipeline.then is not None
    assert (pipeline.then.crop, pipeline.then.when.classes) == (True, ("dog",))
    assert pipeline.expression() == "detector:3>breeds"


def test_definitions_that_say_the_same_have_one_canonical_form() -> None:
    one = parse_pipeline({"models": ["a", "b"], "then": {"model": "c", "when": {"class": "dog"}}})
    other = parse_pipeline(
        {
            "on_error": "fail",
            "models": ["me/a", "b"],
            "weights": [1, 1.0],
            "combine": "auto",
            "then": {"models": ["c"], "when": {"class": ["dog", "dog"]}, "crop": False},
        }
    )
    assert one.definition() == other.definition()
    assert parse_pipeline(one.definition()) == one


@pytest.mark.parametrize(
    ("definition", "pointer"),
    [
        ({}, "/models"),
        ({"models": []}, "/models"),
        ({"models": "a"}, "/models"),
        ({"models": ["a", 7]}, "/models/1"),
        ({"models": ["a", ""]}, "/models/1"),
        ({"models": ["a", "x@"]}, "/models/1"),
        ({"models": ["a", "a"]}, "/models"),
        ({"models": ["a", "me/a"]}, "/models"),
        ({"models": list("abcdefghi")}, "/models"),
        ({"models": list("abcdefg"), "then": {"models": ["h", "i"]}}, "/models"),
        ({"models": ["a", "b"], "weights": [1]}, "/weights"),
        ({"models": ["a", "b"], "weights": [1, 0]}, "/weights"),
        ({"models": ["a", "b"], "weights": [1, True]}, "/weights"),
        ({"models": ["a", "b"], "weights": [1, float("inf")]}, "/weights"),
        ({"models": ["a"], "combine": "best"}, "/combine"),
        ({"models": ["a"], "on_error": True}, "/on_error"),
        ({"models": ["a"], "then": "b"}, "/then"),
        ({"models": ["a"], "then": {}}, "/then/models"),
        ({"models": ["a"], "then": {"model": "b", "models": ["c"]}}, "/then/models"),
        ({"models": ["a"], "then": {"model": "b", "then": {"model": "c"}}}, "/then/then"),
        ({"models": ["a"], "then": {"model": "b", "crop": 1}}, "/then/crop"),
        ({"models": ["a"], "then": {"model": "b", "if": {}}}, "/then"),
        ({"models": ["a"], "then": {"model": "b", "when": ["dog"]}}, "/then/when"),
        ({"models": ["a"], "then": {"model": "b", "when": {"class": []}}}, "/then/when/class"),
        ({"models": ["a"], "then": {"model": "b", "when": {"class": [1]}}}, "/then/when/class"),
        ({"models": ["a"], "then": {"model": "b", "when": {"min_confidence": 2}}}, "/then/when/min_confidence"),
        ({"models": ["a"], "then": {"model": "b", "when": {"label": "dog"}}}, "/then/when"),
        ({"models": ["a"], "more": 1}, "/models"),
    ],
)
def test_a_wrong_definition_is_refused_where_it_is_wrong(definition: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_pipeline(definition)
    assert refused.value.pointer == pointer


def test_model_and_models_can_not_both_be_given() -> None:
    with pytest.raises(InvalidParameter):
        parse_pipeline({"models": ["a"]}, first=Reference.parse_model("b"))


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["a", "b", "mean", "degrade"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["model", "models", "then", "when", "class", "crop", "weights", "min_confidence", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["models", "combine", "weights", "then", "on_error", "x"]), _JSON, max_size=5))
def test_any_json_is_refused_or_has_a_canonical_form(definition: dict[str, Any]) -> None:
    try:
        pipeline = parse_pipeline(definition)
    except InvalidParameter:
        return
    written = json.dumps(pipeline.definition())
    assert parse_pipeline(json.loads(written)) == pipeline
