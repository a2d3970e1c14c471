"""Reads what a new API key is to be from a JSON object."""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from shared.domain.api_keys import FASTEST, MOST_UNFINISHED, SLOWEST, Role
from shared.domain.errors import InvalidParameter
from shared.domain.identifiers import Owner

_NAMES: Final = ("owner", "role", "images_a_second", "unfinished")


class NewKey(NamedTuple):
    """Role and limits of a key to make."""

    role: Role
    rate: float | None
    max_inflight: int | None


def read_new_key(members: Mapping[str, Any], *, owner: Owner) -> NewKey:
    """Return the key that a body asks for; a member that is null is not given. Raises InvalidParameter."""
    unknown = sorted(members.keys() - set(_NAMES))
    if unknown:
        detail = f"there is no such member; there is {', '.join(_NAMES)}"
        raise InvalidParameter(detail=detail, pointer=f"/{unknown[0]}")
    if members.get("owner") not in (None, owner):
        raise InvalidParameter(detail=f"owner must be the caller's own, {owner}", pointer="/owner")
    return NewKey(_role(members.get("role")), _rate(members.get("images_a_second")), _count(members.get("unfinished")))


def _role(value: object) -> Role:
    if value is None:
        return Role.SUBMIT
    if not isinstance(value, str) or value not in [*Role]:
        raise InvalidParameter(detail=f"role must be {', '.join(Role)}", pointer="/role")
    return Role(value)


def _rate(value: object) -> float | None:
    if value is None:
        return None
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not SLOWEST <= number <= FASTEST:
        raise InvalidParameter(
            detail=f"images_a_second must be a number from {SLOWEST:g} to {FASTEST:,.0f}", pointer="/images_a_second"
        )
    return number


def _count(value: Any) -> int | None:
    if value is None:
        return None
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    if not is_whole or not 0 < value <= MOST_UNFINISHED:
        raise InvalidParameter(
            detail=f"unfinished must be a whole number from 1 to {MOST_UNFINISHED:,}", pointer="/unfinished"
        )
    return int(value)
