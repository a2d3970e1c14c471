"""The document's schemas of changes accept what the gateway accepts, but for steps that do not rise to 100."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from api.models.wanted_change import read_canary_terms, read_percent, read_text
from api.schemas import WantedCanary, WantedPromotion, WantedRollback, WantedShare
from shared.domain.canary import is_steps
from shared.domain.errors import InvalidParameter

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2 * 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["latest", "1", "0", "x", "", 0, 0.01, 1, 100, 1000, 10**9, 31_536_000, 31_536_001]),
)


def takes(read: Any, *given: Any) -> bool:
    """Tell whether the gateway takes it."""
    try:
        read(*given)
    except InvalidParameter:
        return False
    return True


def allows(schema: type[BaseModel], **given: Any) -> bool:
    """Tell whether the schema allows this JSON, in which 37.0 is a whole number and true is no number."""
    whole = {n: int(v) if isinstance(v, float) and v.is_integer() else v for n, v in given.items()}
    try:
        schema.model_validate(whole, strict=True)
    except ValidationError:
        return False
    return True


@given(ANYTHING)
def test_versions(value: Any) -> None:
    for schema, name in ((WantedPromotion, "version"), (WantedRollback, "from")):
        assert allows(schema, **{name: value}) == takes(read_text, {name: value}, name)


@given(ANYTHING)
def test_shares(value: Any) -> None:
    assert allows(WantedShare, percent=value) == takes(read_percent, {"percent": value})


@pytest.mark.parametrize(
    "name", ["every_seconds", "max_errors", "max_p99", "min_agreement", "min_images", "patience_seconds"]
)
@given(value=ANYTHING)
def test_terms_of_a_canary(name: str, value: Any) -> None:
    assert allows(WantedCanary, **{name: value}) == takes(read_canary_terms, {name: value})


@given(st.lists(st.integers(-1, 101), max_size=5))
def test_steps_of_a_canary(steps: list[int]) -> None:
    if takes(read_canary_terms, {"steps": steps}):
        assert allows(WantedCanary, steps=steps)
    elif allows(WantedCanary, steps=steps):
        assert not is_steps(tuple(steps))


def test_members_that_there_are_none_of_are_not_allowed() -> None:
    for schema in (WantedPromotion, WantedRollback, WantedCanary):
        assert not allows(schema, speed=1)
