"""Reads what a new API key is to be from a JSON object."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from api.uploads.small_objects import is_whole, refuse_unknown_members
from shared.domain.api_keys import FASTEST, MOST_UNFINISHED, SLOWEST, Role
from shared.domain.errors import InvalidParameter
from shared.domain.identifiers import Owner
from shared.domain.key_limits import Limits
from shared.domain.written_numbers import is_number

N = TypeVar("N", int, float)

_NAMES: Final = ("owner", "role", "images_a_second", "unfinished")


class NewKey(NamedTuple):
    """Role and limits of a key to make."""

    role: Role
    rate: float | None
    max_inflight: int | None


def read_new_key(members: Mapping[str, Any], *, owner: Owner, limits: Limits) -> NewKey:
    """Return the key that a body asks for; a member that is null is not given. Raises InvalidParameter.

    `limits` are those of the key that makes it: what is not given is the same, and more is refused.
    """
    refuse_unknown_members(members, _NAMES)
    if members.get("owner") not in (None, owner):
        raise InvalidParameter(detail=f"owner must be the caller's own, {owner}", pointer="/owner")
    return NewKey(
        _role(members.get("role")),
        _within(_rate(members.get("images_a_second")), limits.rate, "images_a_second"),
        _within(_count(members.get("unfinished")), limits.max_inflight, "unfinished"),
    )


def _within(asked: N | None, own: N | None, name: str) -> N | None:
    """Return the limit that was asked for, or else the maker's own, which it may not exceed."""
    if asked is None or own is None:
        return own if asked is None else asked
    if asked > own:
        most = f"{own:,}".removesuffix(".0")
        raise InvalidParameter(
            detail=f"{name} must be at most {most}, the limit of the key that makes this one", pointer=f"/{name}"
        )
    return asked


def _role(value: object) -> Role:
    if value is None:
        return Role.SUBMIT
    if not isinstance(value, str) or value not in [*Role]:
        raise InvalidParameter(detail=f"role must be {', '.join(Role)}", pointer="/role")
    return Role(value)


def _rate(value: object) -> float | None:
    if value is None:
        return None
    if not is_number(value) or not SLOWEST <= value <= FASTEST:
        raise InvalidParameter(
            detail=f"images_a_second must be a number from {SLOWEST:g} to {FASTEST:,.0f}", pointer="/images_a_second"
        )
    return float(value)


def _count(value: Any) -> int | None:
    if value is None:
        return None
    if not is_whole(value) or not 0 < value <= MOST_UNFINISHED:
        raise InvalidParameter(
            detail=f"unfinished must be a whole number from 1 to {MOST_UNFINISHED:,}", pointer="/unfinished"
        )
    return int(value)
