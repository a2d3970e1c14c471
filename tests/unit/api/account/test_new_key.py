"""What a body may ask of a new API key."""

from typing import Any

import pytest

from api.account.new_key import NewKey, read_new_key
from shared.domain.api_keys import FASTEST, Role
from shared.domain.errors import InvalidParameter
from shared.domain.identifiers import Owner
from shared.domain.key_limits import UNLIMITED, Limits

ANN = Owner("ann")
LIMITS = Limits(rate=20.0, max_inflight=7)


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({}, NewKey(Role.SUBMIT, None, None)),
        ({"role": "admin", "owner": "ann"}, NewKey(Role.ADMIN, None, None)),
        ({"role": None, "images_a_second": 20, "unfinished": 7}, NewKey(Role.SUBMIT, 20.0, 7)),
        ({"images_a_second": 0.5, "unfinished": 7.0}, NewKey(Role.SUBMIT, 0.5, 7)),
    ],
)
def test_what_is_left_out_or_null_is_submit_without_limits(members: dict[str, Any], wanted: NewKey) -> None:
    assert read_new_key(members, owner=ANN, limits=UNLIMITED) == wanted


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({}, NewKey(Role.SUBMIT, 20.0, 7)),
        ({"images_a_second": 20, "unfinished": 7}, NewKey(Role.SUBMIT, 20.0, 7)),
        ({"role": "admin", "images_a_second": 0.5}, NewKey(Role.ADMIN, 0.5, 7)),
    ],
)
def test_a_key_may_do_no_more_than_the_one_that_makes_it(members: dict[str, Any], wanted: NewKey) -> None:
    assert read_new_key(members, owner=ANN, limits=LIMITS) == wanted


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"owner": "bob"}, "/owner"),
        ({"owner": 7}, "/owner"),
        ({"role": "root"}, "/role"),
        ({"role": ["read"]}, "/role"),
        ({"images_a_second": 20.5}, "/images_a_second"),
        ({"unfinished": 8}, "/unfinished"),
        ({"images_a_second": 0}, "/images_a_second"),
        ({"images_a_second": 5e-324}, "/images_a_second"),
        ({"images_a_second": True}, "/images_a_second"),
        ({"images_a_second": FASTEST + 1}, "/images_a_second"),
        ({"images_a_second": float("inf")}, "/images_a_second"),
        ({"unfinished": 0}, "/unfinished"),
        ({"unfinished": 1.5}, "/unfinished"),
        ({"unfinished": 2**31}, "/unfinished"),
        ({"rate": 3}, "/rate"),
    ],
)
def test_what_can_not_be_is_refused_at_its_place(members: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        read_new_key(members, owner=ANN, limits=LIMITS)
    assert refused.value.pointer == pointer
