"""Members of small JSON objects: names that there are, and what counts as a number."""

from typing import Any

import pytest

from api.uploads.small_objects import is_whole, refuse_unknown_members
from shared.domain.errors import InvalidParameter
from shared.domain.written_numbers import is_number


@pytest.mark.parametrize(
    ("value", "number", "whole"),
    [
        (0, True, True),
        (37, True, True),
        (37.0, True, True),
        (0.5, True, False),
        (5e-324, True, False),
        (float("inf"), False, False),
        (float("nan"), False, False),
        (True, False, False),
        ("37", False, False),
        (None, False, False),
        ([1], False, False),
    ],
)
def test_numbers_are_finite_and_37_0_is_whole(value: Any, *, number: bool, whole: bool) -> None:
    assert (is_number(value), is_whole(value)) == (number, whole)


def test_a_member_that_there_is_not_is_named_with_those_that_there_are() -> None:
    refuse_unknown_members({}, ("version", "percent"))
    refuse_unknown_members({"percent": 5}, ("version", "percent"))
    with pytest.raises(InvalidParameter) as refused:
        refuse_unknown_members({"percent": 5, "share": 5, "much": 5}, ("version", "percent", "version"))
    assert refused.value.pointer == "/much"
    assert refused.value.detail == "there is no such member; there is version, percent"
