"""Bodies that are one small JSON object: reading one, members that it may have, numbers in it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeGuard

from fastapi import Request

from api.state.gateway import gateway
from api.uploads.bodies import read_body
from api.uploads.submission_fields import read_json_object
from shared.domain.errors import InvalidParameter
from shared.domain.identifiers import Owner
from shared.domain.written_numbers import is_number

LARGEST: Final = 16 * 1024
"""Bytes that such a body may have."""


async def read_small_object(request: Request, *, owner: Owner) -> Mapping[str, Any]:
    """Return the members of the body; raises what `read_body` and `read_json_object` raise."""
    gate = gateway(request)
    with gate.body_memory.hold(owner) as hold:
        return read_json_object(await read_body(request, most=LARGEST, hold=hold)).members


def refuse_unknown_members(members: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise InvalidParameter for a member that is not among `names`, which it lists once each."""
    known = dict.fromkeys(names)
    unknown = sorted(members.keys() - known.keys())
    if unknown:
        detail = f"there is no such member; there is {', '.join(known)}"
        raise InvalidParameter(detail=detail, pointer=f"/{unknown[0]}")


def is_whole(value: Any) -> TypeGuard[int]:
    """Tell whether a member is a whole number, however it is written: 37.0 is one."""
    return is_number(value) and float(value).is_integer()
